"""Train the network of the free reference, which enlarges by 4, and write its weights.

``gather_training_photographs.py`` gathers the photographs. Only this file needs PyTorch; inference
(``blackbox_conformal/method/images/reference.py``) needs numba. Weights of matrices move by Muon (Jordan et al. 2024),
which reaches the same loss in fewer steps than Adam (Kingma and Ba 2015), all others by Adam.
"""

from __future__ import annotations

import argparse
import math
import random
import time
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image
from torch import Tensor, nn

from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.making_inputs import bicubic_up

SCALE = 4
CHANNELS, LAYERS = 32, 6
CROP = 40  # side of a training crop at input resolution
GAIN = 4.0  # what the network sees is about 1 in size, what it says about 1 / GAIN
AVERAGED = 0.997


class ReferenceNet(nn.Module):
    """What is added to the plain enlargement: 3 x 3 convolutions on the pixels of the input, added up layer by layer.

    Beyond the border every layer sees zeros, in crops as in whole pictures.
    """

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(LAYERS))
        self.tail = nn.Conv2d(CHANNELS, 3 * SCALE * SCALE, 3, padding=1)
        with torch.no_grad():
            self.tail.weight.mul_(0.1)
            self.tail.bias.zero_()
            for layer in self.body:
                layer.weight.mul_(0.5)

    def forward(self, small: Tensor) -> Tensor:
        """(N, 3, h, w) in [0, 1] to (N, 3, 4 h, 4 w)."""
        hidden = self.head((small - 0.5) * GAIN)
        for layer in self.body:
            hidden = hidden + layer(functional.relu(hidden))
        return functional.pixel_shuffle(self.tail(functional.relu(hidden)) / GAIN, SCALE)


class Muon:
    """Steps of the same length in all directions of a layer's matrix."""

    def __init__(self, weights: list[Tensor]) -> None:
        self.weights, self.momenta = weights, [torch.zeros_like(one) for one in weights]

    def step(self, rate: float) -> None:
        """Move all weights."""
        with torch.no_grad():
            for weight, momentum in zip(self.weights, self.momenta, strict=True):
                momentum.lerp_(weight.grad, 0.05)
                update = orthogonal(weight.grad.lerp(momentum, 0.95).flatten(1))
                weight.add_(update.view_as(weight), alpha=-rate * 0.2 * math.sqrt(max(update.shape)))


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix whose singular values are about 1, by Newton-Schulz iteration."""
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / (wide.norm() + 1e-12)
    for _ in range(5):
        square = wide @ wide.T
        wide = 3.4445 * wide + (-4.7750 * square + 2.0315 * square @ square) @ wide
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide


class Crops:
    """Photographs in memory, of which crops are made into inputs; every tenth photograph does not train."""

    def __init__(self, folders: list[Path], degradation: Mixture) -> None:
        self.degradation, self.drawn = degradation, 0
        self.training: list[np.ndarray] = []
        self.measuring: list[np.ndarray] = []
        for path in sorted(p for folder in folders for p in folder.rglob("*") if p.suffix in (".png", ".jpg")):
            with Image.open(path) as opened:
                pixels = np.asarray(opened.convert("RGB"))
            if min(pixels.shape[:2]) >= SCALE * CROP:
                # The two sizes of one photograph stay together.
                measures = zlib.crc32(path.stem.rpartition("-")[0].encode()) % 10 == 0
                (self.measuring if measures else self.training).append(pixels)
        # A large photograph has more to show, but not in proportion to its pixels.
        self.weights = [math.sqrt(pixels.size) for pixels in self.training]

    def batch(self, count: int) -> list[Tensor]:
        """Inputs, their plain enlargements and the truth, (count, 3, side, side) in [0, 1], of random crops."""
        truths = []
        for pixels in random.choices(self.training, self.weights, k=count):
            top, left = (random.randrange(side - SCALE * CROP + 1) for side in pixels.shape[:2])
            colours = random.sample(range(3), 3) if random.random() < 0.3 else [0, 1, 2]
            truth = np.rot90(cut(pixels, top, left)[:, :, colours], random.randrange(4))
            truths.append(truth[:, ::-1] if random.random() < 0.5 else truth)
        self.drawn += count
        return self._made(truths, self.drawn)

    def psnr(self, net: ReferenceNet) -> tuple[float, float]:
        """Mean PSNR, in dB, of plain enlargement and of the network on the middle of photographs that do not train."""
        found = []
        with torch.no_grad():
            for pixels in self.measuring:
                truth = cut(pixels, *((side - SCALE * CROP) // 2 for side in pixels.shape[:2]))
                small, plain, wanted = self._made([truth], 0)
                errors = [plain - wanted, (plain + net(small)).clamp(0, 1) - wanted]
                found.append([-10 * math.log10(float(error.square().mean()) + 1e-6) for error in errors])
        plain_psnr, net_psnr = np.mean(found, axis=0)
        return float(plain_psnr), float(net_psnr)

    def _made(self, truths: list[np.ndarray], key: int) -> list[Tensor]:
        truths = [np.ascontiguousarray(truth) for truth in truths]
        small = [self.degradation.apply(truth, SCALE, key, place) for place, truth in enumerate(truths)]
        plain = [bicubic_up(pixels, SCALE) for pixels in small]
        return [tensor(np.stack(pictures)) for pictures in (small, plain, truths)]


def cut(pixels: np.ndarray, top: int, left: int) -> np.ndarray:
    """A crop of the truth."""
    return pixels[top : top + SCALE * CROP, left : left + SCALE * CROP]


def tensor(pixels: np.ndarray) -> Tensor:
    """(N, h, w, 3) uint8 to (N, 3, h, w) float32 in [0, 1], whose channels lie last in memory."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def loss_of(difference: Tensor, done: float) -> Tensor:
    """Mean absolute error at first; for the last third the root mean square error of each crop, as PSNR has it."""
    if done < 0.65:
        return difference.abs().mean()
    return (difference.square().mean(dim=(1, 2, 3)) + (1 / 255) ** 2).sqrt().mean()


def save(state: dict[str, Tensor], path: Path) -> None:
    """Write the weights as float16 arrays: NAME (outputs, inputs, 3, 3) and NAME_bias (outputs,)."""
    arrays: dict[str, np.ndarray] = {}
    for name in ("head", *(f"body.{k}" for k in range(LAYERS)), "tail"):
        weight, bias = state[f"{name}.weight"].numpy(), state[f"{name}.bias"].numpy()
        if name == "head":
            weight = weight * GAIN
        elif name == "tail":
            weight, bias = weight / GAIN, bias / GAIN
        key = name.replace(".", "_")
        arrays |= {key: weight.astype(np.float16), f"{key}_bias": bias.astype(np.float16)}
    temporary = path.with_suffix(".part.npz")
    np.savez_compressed(temporary, **arrays)
    temporary.replace(path)
    torch.save(state, path.with_suffix(".pt"))


def train(crops: Crops, net: ReferenceNet, options: argparse.Namespace) -> None:
    """Steps for a number of minutes; the moving average of the weights is written every three."""
    average = {name: value.detach().clone() for name, value in net.state_dict().items()}
    measured = ReferenceNet()
    matrices = [net.tail.weight, *(layer.weight for layer in net.body)]
    others = [one for one in net.parameters() if all(one is not matrix for matrix in matrices)]
    muon, adam = Muon(matrices), torch.optim.Adam(others, betas=(0.9, 0.98))
    started = saved = time.monotonic()
    step, recent = 0, []
    while (done := (time.monotonic() - started) / (60 * options.minutes)) < 1:
        rate = options.rate * min(1.0, (step + 1) / 50) * max(1 - done, 0.01)
        small, plain, truth = crops.batch(options.batch)
        loss = loss_of(plain + net(small) - truth, done)
        net.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        muon.step(rate)
        adam.param_groups[0]["lr"] = rate
        adam.step()
        step += 1
        recent.append(loss.item())
        with torch.no_grad():
            for name, value in net.state_dict().items():
                average[name].lerp_(value, 1 - min(AVERAGED, step / (step + 10)))
        if step % 100 == 0:
            print(f"step {step} minute {done * options.minutes:.1f} loss {np.mean(recent):.5f}", flush=True)
            recent.clear()
        if time.monotonic() - saved > 180 or (step == 200):
            saved = time.monotonic()
            save(average, options.out)
            measured.load_state_dict(average)
            plain_psnr, net_psnr = crops.psnr(measured)
            print(f"step {step} plain {plain_psnr:.2f} dB, network {net_psnr:.2f} dB", flush=True)
    save(average, options.out)
    measured.load_state_dict(average)
    print(f"{step} steps, network {crops.psnr(measured)[1]:.2f} dB, weights in {options.out}", flush=True)


def main() -> None:
    """Read, train, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, help="weights file, .npz")
    parser.add_argument("--degradation", default=f"bicubic:{SCALE}", help="how inputs are made, as for `calibrate`")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--rate", type=float, default=4e-3, help="largest learning rate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", type=Path, help="PyTorch state written beside an earlier weights file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    random.seed(options.seed)
    crops = Crops(options.photographs, Mixture.of_text(options.degradation).at(SCALE))
    net = ReferenceNet().to(memory_format=torch.channels_last)
    if options.resume:
        net.load_state_dict(torch.load(options.resume, weights_only=True))
    print(
        f"{len(crops.training)} pictures train, {len(crops.measuring)} measure, "
        f"{sum(one.numel() for one in net.parameters())} parameters",
        flush=True,
    )
    train(crops, net, options)


if __name__ == "__main__":
    main()
