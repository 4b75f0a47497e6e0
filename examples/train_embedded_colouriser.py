"""Train the embedded vendor's stochastic colouriser with the energy score and write its weights.

``gather_training_photographs.py`` gathers the photographs. Only this file needs PyTorch; inference
(``blackbox_conformal/embedded/studio.py``) needs numpy.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image
from torch import Tensor, nn

CELL = 4  # side in pixels of a cell, for which one chroma is predicted
WIDTHS = (24, 48, 64, 64)  # channels at 1/4, 1/8, 1/16 and 1/32 of the picture's resolution
FRESH = 16  # channels of noise for each patch of the picture
PATCH = 32  # side of a patch in squares of the coarsest level
SHARED = 16  # values of noise for the whole picture
CROP = 160  # side of a training crop in pixels
LARGEST = 480  # shorter side that photographs are reduced to
CHROMA = 0.1  # unit of the net's output, as a part of the range of Cb and Cr
FLOOR = (0.5 / 255) ** 2 / CHROMA**2  # keeps the distance smooth at zero: half a level of 255, squared
EVERY = 12  # one photograph in so many measures the score instead of training the net


class ColourNet(nn.Module):
    """An encoder of the grey picture and, for each draw, a decoder of its features and noise to chroma.

    Noise enters at the coarsest level, gated by the features there, so that a draw's colours follow what the picture
    shows; the decoder then spreads them along the picture's finer features.
    """

    def __init__(self) -> None:
        super().__init__()

        def convolution(inputs: int, outputs: int, size: int = 3, bias: bool = True) -> nn.Conv2d:
            return nn.Conv2d(inputs, outputs, size, padding=size // 2, padding_mode="replicate", bias=bias)

        first, last = WIDTHS[0], WIDTHS[-1]
        self.head = convolution(CELL * CELL, first)
        self.down = nn.ModuleList(convolution(a, b) for a, b in pairwise(WIDTHS))
        self.same = nn.ModuleList(convolution(width, width) for width in WIDTHS)
        self.whole = nn.Linear(last, last)
        self.gate = convolution(last, last)
        self.noise = convolution(FRESH, last, bias=False)
        self.shared = nn.Parameter(torch.randn(SHARED, last) * 0.2)
        self.mix = convolution(last, last)
        self.up = nn.ModuleList(convolution(b, a) for a, b in pairwise(WIDTHS))
        self.blend = convolution(first, first)
        self.tail = convolution(first, 2)
        with torch.no_grad():
            for layer in (*self.same, self.mix, self.blend):
                layer.weight.mul_(0.5)

    def forward(self, grey: Tensor, draws: int) -> Tensor:
        """Draw chroma (draws, N, 2, H / 4, W / 4) in units of CHROMA for grey pictures (N, 1, H, W) in [0, 1]."""
        hidden = self.head(functional.pixel_unshuffle((grey - 0.5) * 4, CELL))
        levels = []
        for level, same in enumerate(self.same):
            if level:
                hidden = self.down[level - 1](functional.avg_pool2d(functional.relu(hidden), 2))
            hidden = hidden + same(functional.relu(hidden))
            levels.append(hidden)
        whole = self.whole(functional.relu(hidden).mean(dim=(2, 3)))
        hidden = hidden + whole[..., None, None]
        gate = self.gate(functional.relu(hidden)).repeat(draws, 1, 1, 1)
        count, _, height, width = hidden.shape
        noise = torch.randn(draws * count, FRESH, 2, 2)
        for _ in range(int(math.log2(PATCH))):
            noise = functional.interpolate(noise, scale_factor=2, mode="bilinear")
        y, x = random.randint(0, 2 * PATCH - height), random.randint(0, 2 * PATCH - width)
        noise = self.noise(noise[..., y : y + height, x : x + width])
        noise = noise + (torch.randn(draws * count, SHARED) @ self.shared)[..., None, None]
        hidden = hidden.repeat(draws, 1, 1, 1) + gate * noise
        hidden = hidden + self.mix(functional.relu(hidden))
        for finer, up in zip(reversed(levels[:-1]), reversed(self.up), strict=True):
            wide = functional.interpolate(up(functional.relu(hidden)), scale_factor=2, mode="bilinear")
            hidden = wide + finer.repeat(draws, 1, 1, 1)
        hidden = hidden + self.blend(functional.relu(hidden))
        chroma = self.tail(functional.relu(hidden)).float()
        return chroma.view(draws, count, *chroma.shape[1:])


def distance(difference: Tensor) -> Tensor:
    """Distance of two maps of chroma that differ by ``difference`` (N, 2, H, W).

    A sum of norms of linear maps, so that the energy score stays proper: of the average over blocks, and of all the
    values in a block.
    """
    total = torch.zeros(())
    for block, weight in ((1, 1.0), (4, 1.0), (10, 1.0), (CROP // CELL, 1.0)):
        average = functional.avg_pool2d(difference, block).square().sum(dim=1)
        energy = functional.avg_pool2d(difference.square().sum(dim=1, keepdim=True), block)
        total = total + weight * ((average + FLOOR).sqrt().mean() + (energy + FLOOR).sqrt().mean())
    return total


def energy_score(draws: Tensor, truth: Tensor) -> Tensor:
    """Energy score of two draws (2, N, 2, H, W) (Gneiting & Raftery 2007, section 4.2); lower is better."""
    return 0.5 * (distance(draws[0] - truth) + distance(draws[1] - truth) - distance(draws[0] - draws[1]))


class Crops:
    """Random crops of photographs at several scales, flipped, and of other brightness, contrast and saturation."""

    def __init__(self, paths: list[Path]) -> None:
        self.pictures: list[list[np.ndarray]] = []
        for path in paths:
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
            side = min(LARGEST, max(CROP, min(picture.size)))
            versions = []
            while side >= CROP:
                size = tuple(max(CROP, round(length * side / min(picture.size))) for length in picture.size)
                small = picture.resize(size, Image.Resampling.BICUBIC)
                versions.append(np.asarray(small.convert("YCbCr")).transpose(2, 0, 1))
                side = int(side * 0.75)
            self.pictures.append(versions)
        # A large photograph has more to show, but not in proportion to its pixels.
        self.weights = [math.sqrt(len(versions)) for versions in self.pictures]

    def one(self) -> np.ndarray:
        """Give one crop, (3, CROP, CROP) float32: Y, Cb and Cr in 0 to 255."""
        (versions,) = random.choices(self.pictures, self.weights)
        picture = random.choice(versions)
        top, left = (random.randint(0, length - CROP) for length in picture.shape[1:])
        crop = picture[:, top : top + CROP, left : left + CROP].astype(np.float32) - 128
        if random.random() < 0.5:
            crop = crop[:, :, ::-1]
        contrast, saturation = (math.exp(random.gauss(0, 0.12)) for _ in range(2))
        crop[0] = np.clip(crop[0] * contrast + random.gauss(0, 12), -128, 127)
        crop[1:] *= contrast * saturation
        return crop + 128

    def batch(self, count: int) -> tuple[Tensor, Tensor]:
        """Give grey (N, 1, CROP, CROP) in [0, 1] and chroma (N, 2, CROP / 4, CROP / 4) in units of CHROMA."""
        crops = torch.from_numpy(np.stack([self.one() for _ in range(count)])) / 255
        return crops[:, :1], functional.avg_pool2d(crops[:, 1:] - 128 / 255, CELL) / CHROMA


def score(state: dict[str, Tensor], batches: list[tuple[Tensor, Tensor]]) -> tuple[float, float, float]:
    """Energy score of weights and of no colour at all, and the draws' mean chroma as a part of the truth's."""
    net = ColourNet()
    net.load_state_dict(state)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        rows = []
        for grey, truth in batches:
            draws = net(grey, draws=2)
            colour = draws.square().sum(dim=2).sqrt().mean() / truth.square().sum(dim=1).sqrt().mean()
            rows.append((energy_score(draws, truth).item(), distance(truth).item(), colour.item()))
    return tuple(float(value) for value in np.mean(rows, axis=0))  # type: ignore[return-value]


def save(state: dict[str, Tensor], path: Path) -> None:
    """Write the weights as float16 arrays, those of convolutions as (3, 3, inputs, outputs)."""
    arrays: dict[str, np.ndarray] = {}
    for name, value in state.items():
        if value.ndim == 4:
            value = value.permute(2, 3, 1, 0)
        elif name == "whole.weight":
            value = value.T
        arrays[name.replace(".", "_")] = value.numpy().astype(np.float16)
    temporary = path.with_suffix(".part.npz")
    np.savez_compressed(temporary, **arrays)
    temporary.replace(path)
    torch.save(state, path.with_suffix(".pt"))


def main() -> None:
    """Train for a number of minutes, saving averaged weights every two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, help="weights file, .npz")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=4e-4, help="largest learning rate")
    parser.add_argument("--decay", type=float, default=0.02, help="weight decay")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", type=Path, help="PyTorch state written beside an earlier weights file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    random.seed(arguments.seed)
    paths = sorted(p for folder in arguments.photographs for p in folder.rglob("*") if p.suffix in (".png", ".jpg"))
    # Versions of one photograph differ in what follows the last dash of the name; they stay on one side.
    stems = sorted({path.stem.rpartition("-")[0] for path in paths})
    measured = set(stems[::EVERY])
    crops = Crops([path for path in paths if path.stem.rpartition("-")[0] not in measured])
    held_out = Crops([path for path in paths if path.stem.rpartition("-")[0] in measured])
    batches = [held_out.batch(16) for _ in range(6)]
    net = ColourNet().to(memory_format=torch.channels_last)
    if arguments.resume:
        net.load_state_dict(torch.load(arguments.resume, weights_only=True))
    average = {name: value.detach().clone() for name, value in net.state_dict().items()}
    parameters = sum(p.numel() for p in net.parameters())
    print(f"{len(crops.pictures)} pictures of {len(stems) - len(measured)} photographs, {parameters} parameters")
    optimiser = torch.optim.AdamW(net.parameters(), lr=arguments.rate, weight_decay=arguments.decay)
    started = saved = time.monotonic()
    step, recent = 0, 0.0
    while (elapsed := (time.monotonic() - started) / (60 * arguments.minutes)) < 1:
        warm = min(1.0, (step + 1) / 100)
        for group in optimiser.param_groups:
            group["lr"] = arguments.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * elapsed)))
        grey, truth = crops.batch(arguments.batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            draws = net(grey, draws=2)
        loss = energy_score(draws, truth)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        step += 1
        recent += loss.item()
        keep = min(0.998, step / (step + 20))
        with torch.no_grad():
            for name, value in net.state_dict().items():
                average[name].lerp_(value, 1 - keep)
        if step % 100 == 0:
            print(f"step {step} minute {elapsed * arguments.minutes:.1f} loss {recent / 100:.4f}", flush=True)
            recent = 0.0
        if time.monotonic() - saved > 120:
            saved = time.monotonic()
            save(average, arguments.out)
            print("held out: score {:.4f}, of grey {:.4f}, share of colour {:.2f}".format(*score(average, batches)))
    save(average, arguments.out)
    print("held out: score {:.4f}, of grey {:.4f}, share of colour {:.2f}".format(*score(average, batches)))
    print(f"{step} steps, weights in {arguments.out}", flush=True)


if __name__ == "__main__":
    main()
