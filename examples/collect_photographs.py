"""Gather the 63 photographs of Debian's wallpaper packages into one folder, with different names.

    apt-get download budgie-backgrounds lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 \
        plasma-workspace-wallpapers mate-backgrounds lxqt-themes
    for package in *.deb; do dpkg-deb -x "$package" unpacked; done
    python examples/collect_photographs.py unpacked photographs

The packages also hold artwork; the names below are those that a person took for photographs. Their licences are free
(CC0, CC-BY, CC-BY-SA, GPL, LGPL; see each package's copyright file).
"""

import shutil
import sys
from pathlib import Path

BUDGIE = """abstract-spiral beacon-street-sunset blue-periwinkle canyon-wren casa-mila extreme-desert-hike
high-trestle-trail lake-sherburne oakland-zoo-otters perched-osprey piazza-gae-aulenti roman-colosseum
singaporean-cityscape tea-gardens"""
LOMIRI = """Bridge_by Dragonfly_by Kleiber_by Picture_0B_by Picture_1A_by Wine_by aitzgorri_by free_by friends_by
greentock_by life_by picosdeeuropa_by seeding_by sunset_by"""
MATE = """Aqua Blinds Dune FreshFlower Garden GreenMeadow LadyBird RainDrops Storm TwoWings Wood YellowFlower"""
LXQT = """Butterfly-Kenneth Valendas after-the-rain appleflower beam butterfly cloud drop flowers fog
this-is-not-windows"""
PLASMA = """BytheWater ColdRipple ColorfulCups EveningGlow FallenLeaf Grey Kite Mountain OneStandsOut Path Volna
summer_1am"""


def main(source: Path, target: Path) -> int:
    """Copy what the lists name; complain about each name that is not there."""
    share = source / "usr" / "share"
    wanted = [
        *((f"budgie-{name}", f"backgrounds/budgie/{name}.*") for name in BUDGIE.split()),
        *((f"lomiri-{name.removesuffix('_by')}", f"backgrounds/{name}*") for name in LOMIRI.split()),
        *((f"mate-{name}", f"backgrounds/mate/nature/{name}.*") for name in MATE.split()),
        *((f"lxqt-{name}", f"lxqt/wallpapers/{name}*") for name in LXQT.split()),
        *((f"plasma-{name}", f"wallpapers/{name}/contents/images/*") for name in PLASMA.split()),
    ]
    target.mkdir(parents=True, exist_ok=True)
    missing = []
    for name, pattern in wanted:
        found = [path for path in share.glob(pattern) if path.is_file()]
        if not found:
            missing.append(pattern)
            continue
        largest = max(found, key=lambda path: path.stat().st_size)
        shutil.copyfile(largest, target / f"{name}{largest.suffix.lower()}")
    print(f"{len(wanted) - len(missing)} photographs in {target}")
    for pattern in missing:
        print(f"not found: {pattern}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: collect_photographs.py UNPACKED TARGET")
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
