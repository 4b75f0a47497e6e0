"""Gather the photographs that the embedded vendor was trained on, out of unpacked Debian packages.

``apt-get download gcompris-qt-data && dpkg-deb -x gcompris-qt-data*.deb unpacked`` fetches and unpacks a package
without installing it; give the folder ``unpacked`` below. The held-out photographs come from other packages, named in
docs/embedded-vendor.md.
"""

from __future__ import annotations

import argparse
import io
import struct
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

# Qt resource files of gcompris-qt-data that hold photographs, and the smallest side worth taking from each.
RESOURCES = {
    "erase": 600,
    "explore_farm_animals": 500,
    "explore_monuments": 300,
    "explore_world_animals": 400,
    "explore_world_music": 500,
    "clickgame": 500,
    "details": 250,
    "categorization": 200,
}
# Paintings, near duplicates and cut-outs on plain white within those files, by position.
LEFT_OUT = {
    "details": {2, 4, 19, 42, 48, 62, 87, 123},
    "clickgame": {30},
}
OPENCV = [
    "examples/alphamat/input_images/plant.jpg",
    "examples/data/aloeL.jpg",
    "examples/data/board.jpg",
    "examples/data/home.jpg",
    "examples/data/squirrel_cls.jpg",
    "examples/data/butterfly.jpg",
    "examples/data/graf1.png",
    "examples/data/rubberwhale1.png",
    "examples/data/chicky_512.png",
    "examples/hfs/data/000.jpg",
    "examples/hfs/data/002.jpg",
    "examples/text/scenetext01.jpg",
    "examples/text/scenetext03.jpg",
    "examples/text/scenetext04.jpg",
    "examples/text/scenetext05.jpg",
    "examples/text/scenetext06.jpg",
    "examples/text/scenetext_segmented_word01.jpg",
    "examples/text/scenetext_segmented_word03.jpg",
    "examples/text/scenetext_segmented_word04.jpg",
]
PLAIN = 0.35  # largest share of (near) white pixels: more is a cut-out object, not a photograph


def webp_blobs(resource: bytes) -> Iterator[bytes]:
    """Yield each WebP file stored uncompressed inside a Qt resource file."""
    position = resource.find(b"RIFF")
    while position >= 0:
        if resource[position + 8 : position + 12] == b"WEBP":
            (size,) = struct.unpack_from("<I", resource, position + 4)
            yield resource[position : position + 8 + size]
        position = resource.find(b"RIFF", position + 4)


def gcompris(folder: Path) -> Iterator[tuple[str, Image.Image]]:
    """Yield name and picture of each photograph in the Qt resource files below ``folder``."""
    for stem, smallest in RESOURCES.items():
        for path in sorted(folder.rglob(f"{stem}.rcc")):
            for number, blob in enumerate(webp_blobs(path.read_bytes())):
                with Image.open(io.BytesIO(blob)) as opened:
                    picture = opened.convert("RGBA")
                opaque = picture.getchannel("A").getextrema()[0] == 255
                if opaque and min(picture.size) >= smallest and number not in LEFT_OUT.get(stem, ()):
                    yield f"gcompris-{stem}-{number:03d}", picture.convert("RGB")


def loose_files(folder: Path) -> Iterator[tuple[str, Image.Image]]:
    """Yield the photographs of palapeli-data and opencv-doc, which are ordinary files."""
    paths = sorted(folder.rglob("palapeli/collection/*.jpg"))
    for name in OPENCV:
        paths += sorted(folder.rglob(f"opencv-doc/{name}"))
    for path in paths:
        with Image.open(path) as opened:
            yield f"{path.parent.name}-{path.stem}", opened.convert("RGB")


def shrunk(picture: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    """Average away compression artefacts: halve what is large, take 7 tenths of what is small.

    The largest come a second time at three quarters, for softer pictures: not all photographs are sharp to the pixel.
    """
    longest = max(picture.size)
    factors = {"half": 0.5, "soft": 0.75} if longest >= 900 else {"half": 0.5} if longest >= 640 else {"small": 0.7}
    for suffix, factor in factors.items():
        size = (int(picture.width * factor), int(picture.height * factor))
        yield suffix, picture.resize(size, Image.Resampling.BOX)


def share_of_white(picture: Image.Image) -> float:
    """Share of pixels at 245 or above in grey, in [0, 1]."""
    histogram = picture.convert("L").histogram()
    return sum(histogram[245:]) / sum(histogram)


def main() -> None:
    """Write the photographs as PNG files into one folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("unpacked", type=Path, help="folder the Debian packages were unpacked into")
    parser.add_argument("--out", type=Path, required=True, help="folder for the PNG files")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    count = pixels = 0
    for source in (gcompris, loose_files):
        for name, picture in source(arguments.unpacked):
            versions = [(suffix, small) for suffix, small in shrunk(picture) if min(small.size) >= 132]
            if not versions or share_of_white(picture) > PLAIN:
                continue
            for suffix, small in versions:
                small.save(arguments.out / f"{name}-{suffix}.png")
                pixels += small.width * small.height
            count += 1
    print(f"{count} photographs, {pixels / 1e6:.1f} megapixels in {arguments.out}")


if __name__ == "__main__":
    main()
