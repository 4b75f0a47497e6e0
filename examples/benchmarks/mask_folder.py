"""Time `mask` over a folder with all that it writes, against decoding the vendor's draws."""

import tempfile
from pathlib import Path

from bench import Bench, calibrate, decode_all, make_low
from material import SCALE, write_material
from timing import at_most, pairs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.study.stages.defaults import default_score
from blackbox_conformal.study.stages.settings import set_up

# Fewer cannot keep what the default promises of colours.
CALIBRATING = 6


def mask_folder(bench: Bench) -> None:
    """Twenty-five pictures of 1024 x 1024, one stored draw each: every file, preview and certificate on disk."""
    count, side = (3, 512) if bench.quick else (25, 1024)
    root = bench.root / "folder"
    root.mkdir()
    # Made up, since pictures to be masked may not show what calibrated.
    paths = write_material(root, [], CALIBRATING + count, side, side, 1)
    draws, inputs, saved = root / "draws", root / "inputs", root / "calibration.json"
    inputs.mkdir()
    masked = paths[CALIBRATING:]
    for path in masked:
        make_low(path, inputs / path.name)
    adapter = bc.load_adapter("folder", path=str(draws), label="benchmark")

    def mask() -> None:
        # Its files stay until all is measured: deleting them is no part of the command.
        folder = tempfile.mkdtemp(dir=root)
        where = ["-p", f"path={draws}", "--run", f"{folder}/run", "--out", f"{folder}/out"]
        assert run(["mask", str(inputs), "--calibration", str(saved), "--alpha", "0.9", *where, "-q"]) == 0
        assert len(list(Path(folder, "out").iterdir())) == 6 * count

    files = [draws / path.stem / "0.png" for path in masked]
    for score, most in (("bicubic-gap:sigma=8", 4), (default_score(1, SCALE, of_detail=True), 14)):
        calibrate(set_up(adapter, draws=1, score=score), paths[:CALIBRATING], 2).save(saved, force=True)
        wall, processor = pairs(mask, lambda: decode_all(files, 2), bench.repeats)
        name = f"mask of {count} pictures of {side} x {side} with all files, {score} / Pillow decoding their draws"
        at_most(f"{name}, 2 threads each", wall, most)
        at_most("the same in processor seconds", processor, most)
