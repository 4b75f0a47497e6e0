"""Draw from a running ComfyUI server, with ComfyUI's own nodes; no model is needed.

    python examples/real_servers/comfyui.py http://127.0.0.1:8188 --work FOLDER

Two workflows are written to FOLDER. One enlarges and adds seeded noise, as a model with a seed would. The other only
enlarges and never varies. Then the ordinary commands run: a live check of both, `calibrate` on eight small photographs
of the package, the same again to see that nothing is drawn twice, `mask` on a ninth, and a workflow that the
server does not run.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from run import ALPHA, CALIBRATING, DRAWS, SIDE, called

from blackbox_conformal.embedded.demonstration import reduced_photographs, write_input
from blackbox_conformal.method.images.photographs import demo_photographs

LOAD, ENLARGE, NOISE, SAVE = "1", "2", "3", "9"


def workflow(*, noise: float | None) -> dict[str, Any]:
    """Load, enlarge four times, add noise of this strength unless None, save: in API format."""
    nodes: dict[str, Any] = {
        LOAD: {"class_type": "LoadImage", "inputs": {"image": "to-be-named.png"}},
        ENLARGE: {
            "class_type": "ImageScaleBy",
            "inputs": {"image": [LOAD, 0], "upscale_method": "bicubic", "scale_by": 4.0},
        },
        NOISE: {"class_type": "ImageAddNoise", "inputs": {"image": [ENLARGE, 0], "seed": 0, "strength": noise}},
        SAVE: {"class_type": "SaveImage", "inputs": {"images": [NOISE, 0], "filename_prefix": "picture"}},
    }
    if noise is None:
        del nodes[NOISE]
        nodes[SAVE]["inputs"]["images"] = [ENLARGE, 0]
    return nodes


def main() -> None:
    """Draw from the server that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="address of the server")
    parser.add_argument("--work", type=Path, required=True, help="folder for workflows, pictures and runs")
    options = parser.parse_args()
    work = options.work.resolve()
    *_, last = reduced_photographs(
        demo_photographs()[: CALIBRATING + 1], work / "photographs", SIDE, lambda *_: None, force=True
    )
    picture = write_input(last, work / "input", 4, force=True)
    last.path.unlink()
    plain, seeded, wrong = (work / f"{name}.json" for name in ("plain", "seeded", "wrong"))
    for path, strength in ((plain, None), (seeded, 0.05), (wrong, 500.0)):
        path.write_text(json.dumps(workflow(noise=strength)), encoding="utf-8")

    def chosen(path: Path, *, seed: bool) -> list[str]:
        named = [f"url={options.url}", f"workflow={path}", f"image={LOAD}.image"]
        named += [f"seed={NOISE}.seed"] if seed else []
        return [word for each in named for word in ("-p", each)]

    def shown(command: str, arguments: list[str], *, expected: int = 0) -> Any:
        answer, said = called([*command.split(), *arguments, "--json"], expected=expected)
        print(f"$ blackbox-conformal {command} …\n{said.rstrip()}", flush=True)
        return answer

    for name, path, seed in (("seeded", seeded, True), ("plain", plain, False)):
        run = ["--run", str(work / f"check-{name}"), "--yes"]
        shown("adapters check comfyui --live", [*chosen(path, seed=seed), *run])
    drawing = ["--adapter", "comfyui", *chosen(seeded, seed=True), "--draws", str(DRAWS), "--run", str(work / "run")]
    first = shown("calibrate", [str(work / "photographs"), *drawing, "--force"])
    again = shown("calibrate", [str(work / "photographs"), *drawing, "--force"])
    assert again["calls"] == 0, "expected nothing to be drawn twice"
    where = [*chosen(seeded, seed=True), "--run", str(work / "run"), "--out", str(work / "masked"), "--force"]
    shown("mask", [str(picture), "--calibration", first["calibration"], "--alpha", ALPHA, *where])
    refused = ["--adapter", "comfyui", *chosen(wrong, seed=True), "--draws", "2", "--run", str(work / "wrong-run")]
    shown("calibrate", [str(work / "photographs"), *refused], expected=6)
    shown("ledger sum", ["--run", str(work / "run")])


if __name__ == "__main__":
    main()
