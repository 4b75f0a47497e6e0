"""Train the network of the score `predicted-invention` on vendors' stored answers and write its weights.

    pip install torch
    python examples/draw_with_ncnn.py PHOTOGRAPHS --out drawn/NAME --draws 1 --side 256 --model FILE.param
    python examples/train_predicted_invention.py --drawn drawn/* --degraded degraded/* --out weights.npz

Answers to clean inputs lie under --drawn, those to noisy or compressed ones under --degraded. Each folder is as
draw_with_ncnn.py makes it. An answer gives some random cells, and so does a blend of two vendors' answers to one input.
Only this file needs PyTorch.

The network gives the expected ``I / (A + 1)`` of the metric `invention`: the loss is its cross-entropy, weighted by A +
1, over the root of the picture's mean A, so that cells are ordered by energy and no single picture decides.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from measure_predicted_invention import SCALE, Answer, answers
from torch import Tensor, nn

from blackbox_conformal.method.images.making_inputs import bicubic_up
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.method.kernels.detail import unexplained
from blackbox_conformal.method.scores.predicted_invention import features

WIDTH, STEPS, BATCH, RATE = 24, 2500, 8192, 1e-2
CELLS = 500  # taken of each answer
LAYERS = ("first", "second", "last")


def blends(found: list[Answer], random: np.random.Generator) -> Iterator[Answer]:
    """Of neighbours that answer one input: between the two vendors, and weaker or stronger than either."""
    for one, other in pairwise(sorted(found, key=lambda answer: answer.stem)):
        if one.stem == other.stem and one.low.shape == other.low.shape and (one.low == other.low).all():
            plain, share = bicubic_up(one.low, SCALE).astype(np.float64), random.uniform(0.3, 0.7)
            mixed = share * one.delivered + (1 - share) * other.delivered
            mixed = np.clip(np.rint(plain + random.uniform(0.5, 1.2) * (mixed - plain)), 0, 255)
            yield Answer(one.stem, one.truth, one.low, mixed.astype(np.uint8))


def cells(one: Answer, random: np.random.Generator, *, degraded: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (n, F), shares (n,) and weights (n,) of some cells of an answer."""
    maps, _ = features(one.delivered, one.low, reference(one.low, SCALE, degraded=degraded), degraded=degraded)
    energies = unexplained(one.delivered, one.truth, bicubic_up(one.low, SCALE), float(SCALE))
    height, width, _ = one.low.shape
    part, whole = (values.reshape(height, SCALE, width, SCALE).mean(axis=(1, 3)) for values in energies)
    taken = random.permutation(whole.size)[:CELLS]
    weights = (whole + 1) / np.sqrt(whole.mean() + 9)
    return maps.reshape(len(maps), -1).T[taken], (part / (whole + 1)).ravel()[taken], weights.ravel()[taken]


def train(seen: Tensor, shares: Tensor, weights: Tensor) -> nn.Sequential:
    """Steps of Adam (Kingma and Ba 2015) whose length falls to 0."""
    layers = nn.Linear(seen.shape[1], WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)
    net = nn.Sequential(*layers)
    adam, losses = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-3), []
    for step in range(STEPS):
        taken = torch.randint(len(seen), (BATCH,))
        loss = functional.binary_cross_entropy_with_logits(net(seen[taken])[:, 0], shares[taken], weights[taken])
        adam.param_groups[0]["lr"] = RATE * min(1, (step + 1) / 30) * (1 - step / STEPS)
        net.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
        if step % 250 == 249:
            print(f"step {step + 1} loss {np.mean(losses[-250:]):.4f}", flush=True)
    return net


def main() -> None:
    """Read, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawn", type=Path, nargs="*", default=[])
    parser.add_argument("--degraded", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, required=True, help="weights file, .npz")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    random, found = np.random.default_rng(options.seed), []
    for folders, degraded in ((options.drawn, False), (options.degraded, True)):
        given = [one for folder in folders for one in answers(folder)]
        found += [cells(one, random, degraded=degraded) for one in [*given, *blends(given, random)]]
    seen, shares, weights = (np.concatenate(parts).astype(np.float32) for parts in zip(*found, strict=True))
    mean, deviation = seen.mean(axis=0), seen.std(axis=0) + 1e-3
    net = train(*map(torch.from_numpy, ((seen - mean) / deviation, shares, weights / weights.mean())))
    arrays: dict[str, np.ndarray] = {}
    for name, layer in zip(LAYERS, (net[0], net[2], net[4]), strict=True):
        matrix, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
        if name == "first":
            # The same on features as they are.
            matrix = matrix / deviation
            bias = bias - matrix @ mean
        arrays |= {name: matrix.astype(np.float32), f"{name}_bias": bias.astype(np.float32)}
    np.savez_compressed(options.out, **arrays)
    print(f"{len(found)} answers and blends, weights in {options.out}")


if __name__ == "__main__":
    main()
