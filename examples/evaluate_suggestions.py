"""Test that `inputs --suggest` finds chains that were planted: qualities, noise, and whether the proof passes.

    python examples/evaluate_suggestions.py PHOTOGRAPHS... [--batches 30] [--first 0] [--inputs 40]

Photographs are cut into disjoint squares of 512 pixels, at most four each. A batch takes squares at random: 40 become
inputs by one of the presets web, phone and scan, and 80 others are the user's photographs; options give other numbers.
In half of the batches each input goes through the preset by itself; in the other half one chain is drawn from the
preset for all of them. All inputs are handed over as pixels, so that no file tells its quality.

The planted chain goes through the same proof, as a control: about one in twenty fails by chance. Noise is compared by
the middles of ranges. One JSON line a batch goes to stdout; `--summary FILE...` prints the table of earlier ones.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import BlackboxConformalError
from blackbox_conformal.method.degradations.chain import Chain, Mixture
from blackbox_conformal.method.degradations.parameter_range import Range
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.photographs import demo_photographs, find_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.study.choose.candidate_chain import CandidateChain
from blackbox_conformal.study.choose.suggesting import MOST_FITTED, Seen, halves, middle, nearest_chain, proven

SCALE, SIDE = 4, 512
PRESETS = ("web", "phone", "scan")


def squares(sources: list[Path], most: int) -> Iterator[NDArray[np.uint8]]:
    """Disjoint squares of the photographs in `sources` and of those that come with the package."""
    for photograph in (*demo_photographs(), *find_photographs(sources)):
        try:
            pixels = read_image(photograph.path).pixels
        except BlackboxConformalError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        rows, columns = (side // SIDE for side in pixels.shape[:2])
        for place in list(np.ndindex(rows, columns))[:most]:
            top, left = place[0] * SIDE, place[1] * SIDE
            yield np.ascontiguousarray(pixels[top : top + SIDE, left : left + SIDE])


def batch(pool: list[NDArray[np.uint8]], number: int, count: int, photographs: int) -> dict[str, Any]:
    """Plant a chain, have one suggested, and compare."""
    preset, one_chain = PRESETS[number % 3], number // 3 % 2 == 1
    order = np.random.Generator(np.random.Philox(number)).permutation(len(pool))
    planted = Mixture.of_text(preset).at(SCALE)
    chains = [planted.drawn("batch", number, 0 if one_chain else place) for place in range(count)]
    made = [
        chain.apply(pool[index], (SIDE // SCALE, SIDE // SCALE), number, place)
        for place, (chain, index) in enumerate(zip(chains, order[:count], strict=True))
    ]
    inputs = [Seen.of(read_image(image_png(pixels))) for pixels in made]
    fitting, proving = halves([one.digest for one in inputs])
    known = [pool[index] for index in order[count : count + photographs]]
    suggestion = nearest_chain(
        [inputs[place] for place in fitting],
        [middle(pixels, SCALE) for pixels in known[::2][:MOST_FITTED]],
        SCALE,
    )
    truth = chains[0].text if one_chain else planted.text
    shift, control = (
        proven(text, [inputs[place] for place in proving], known[1::2], SCALE)
        for text in (suggestion.degradation, truth)
    )
    qualities = [
        None if one.trace is None else one.trace.quality - value(chain, "Jpeg", "quality")
        for one, chain in zip(inputs, chains, strict=True)
        if one.tells
    ]
    return {
        "batch": number,
        "inputs": count,
        "preset": preset,
        "planted": truth,
        "one_chain": one_chain,
        "suggested": suggestion.degradation,
        "tried": suggestion.tried,
        "quality_errors": qualities,
        "noise": [
            float(np.mean([value(chain, "Noise", "sigma") for chain in chains])),
            value(Mixture.of_text(suggestion.degradation).chains[0], "Noise", "sigma"),
        ],
        "p_value": shift.p_value,
        "p_value_of_planted": control.p_value,
        "moved": [movement.statistic.name for movement in shift.movements if movement.p_value <= shift.level],
    }


def value(chain: Chain, step: str, name: str) -> float:
    """A parameter, or the middle of its range; 0 where there is no such step."""
    found = [getattr(each, name) for each in chain.steps if type(each).__name__ == step]
    if not found or not isinstance(found[0], Range):
        return float(found[0]) if found else 0.0
    return float(found[0].low + found[0].high) / 2


def sharpened(text: str) -> float:
    """Standard deviation of the noise after sharpening, by the middles of ranges."""
    chain = Mixture.of_text(text).chains[0]
    percent, radius, threshold = (value(chain, "Unsharp", name) for name in ("percent", "radius", "threshold"))
    return CandidateChain(
        noise=value(chain, "Noise", "sigma"), unsharp=percent, radius=radius or 1, threshold=threshold
    ).sharpened


def summary(files: list[Path]) -> None:
    """A line for each preset."""
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    print(
        "| preset | batches | quality within 5 | noise within 25 % | after sharpening | proof | of planted | differs |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for preset in (*PRESETS, "all"):
        own = [row for row in rows if preset in ("all", row["preset"])]
        errors = [error for row in own for error in row["quality_errors"]]
        near = sum(error is not None and abs(error) <= 5 for error in errors)
        smooth = sum(row["inputs"] for row in own) - len(errors)
        cells = [preset, str(len(own)), f"{near} of {len(errors)} inputs, {smooth} too smooth to tell"]
        noisy = [row for row in own if row["noise"][0]]
        after = [[sharpened(row[key]) for key in ("planted", "suggested")] for row in noisy]
        for pairs in ([row["noise"] for row in noisy], after):
            hits = sum(abs(found / planted - 1) <= 0.25 for planted, found in pairs)
            cells.append(f"{hits} of {len(pairs)}" if pairs else "none planted")
        cells += [f"{sum(row[key] > 0.05 for row in own)} of {len(own)}" for key in ("p_value", "p_value_of_planted")]
        moved = Counter(name for row in own for name in row["moved"])
        cells.append(", ".join(f"{name} {count}" for name, count in moved.most_common()) or "nothing")
        print(f"| {' | '.join(cells)} |")


def main() -> int:
    """Run batches, or sum them up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", type=Path, metavar="PHOTOGRAPHS")
    parser.add_argument("--batches", type=int, default=30)
    parser.add_argument("--first", type=int, default=0, help="number of the first batch")
    parser.add_argument("--inputs", type=int, default=40)
    parser.add_argument("--photographs", type=int, default=80)
    parser.add_argument("--squares", type=int, default=4, help="most of one photograph")
    parser.add_argument("--summary", nargs="+", type=Path, help="print the table of these outputs")
    options = parser.parse_args()
    if options.summary:
        summary(options.summary)
        return 0
    pool = list(squares(options.sources, options.squares))
    print(f"{len(pool)} squares", file=sys.stderr)
    for number in range(options.first, options.first + options.batches):
        print(json.dumps(batch(pool, number, options.inputs, options.photographs)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
