"""The picture at the top of the README: input, answer and trust mask of a demo, side by side.

blackbox-conformal demo
python examples/draw_demo_picture.py blackbox-conformal-demo
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

PICTURE = Path(__file__).parent.parent / "blackbox_conformal" / "docs" / "pictures" / "demo.webp"
SIDE, GAP, LABEL = 320, 8, 30


def side_by_side(demo: Path) -> Image.Image:
    """The three pictures with a line of text below each."""
    (sent,) = (demo / "input").glob("*.png")
    panels = {
        "what was sent": sent,
        "what the vendor answered": demo / "masked" / f"{sent.stem}-image.png",
        "no stripes: trusted; dots: nothing added": demo / "masked" / f"{sent.stem}-overlay.png",
    }
    whole = Image.new("RGB", (len(panels) * (SIDE + GAP) - GAP, SIDE + LABEL), "white")
    draw = ImageDraw.Draw(whole)
    for number, (label, path) in enumerate(panels.items()):
        picture = Image.open(path).convert("RGB")
        # What was sent keeps its pixels visible.
        way = Image.Resampling.NEAREST if picture.width < SIDE else Image.Resampling.LANCZOS
        left = number * (SIDE + GAP)
        whole.paste(picture.resize((SIDE, SIDE), way), (left, 0))
        place = (left + SIDE // 2, SIDE + LABEL // 2)
        draw.text(place, label, fill="#333333", anchor="mm", font=ImageFont.load_default(size=16))
    return whole


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="folder that `blackbox-conformal demo` wrote")
    side_by_side(parser.parse_args().demo).save(PICTURE, quality=82, method=6)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB")
