"""Train the embedded vendor's stochastic x4 generator with the energy score and write its weights.

``gather_training_photographs.py`` gathers the photographs. Only this file needs PyTorch; inference
(``blackbox_conformal/embedded/studio.py``) needs numpy.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image
from torch import Tensor, nn

SCALE = 4
CHANNELS = 64
LAYERS = 4
FRESH = 24  # channels of noise for each input pixel
SHARED = 8  # values of noise for the whole picture
TEXTURES = 48  # channels that noise is turned into
CROP = 32  # side of a training crop at input resolution
MARGIN = 2  # reach of the bicubic base, in input pixels
# Factor on the logarithm of the loudness in the saved weights, whose mean square is kept: as trained, the loudest
# of a few draws is far too loud, which the score hardly punishes.
CALM = 0.25
SPECTRUM = 3.0  # share of the spectrum of a crop among the texture features
FLOOR = (0.5 / 255) ** 2  # keeps the distance smooth at zero: half a grey level, squared


def bicubic_kernel() -> np.ndarray:
    """Weights (16, 5, 5) of Keys' cubic (1981, a = -0.5) for the 4 x 4 output pixels of one input pixel."""
    taps = np.zeros((SCALE, 5))
    for phase in range(SCALE):
        centre = (phase + 0.5) / SCALE - 0.5
        for tap in range(-2, 3):
            x = abs(tap - centre)
            if x < 1:
                taps[phase, tap + 2] = 1.5 * x**3 - 2.5 * x**2 + 1
            elif x < 2:
                taps[phase, tap + 2] = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.einsum("pi,qj->pqij", taps, taps).reshape(SCALE * SCALE, 5, 5)


class StochasticNet(nn.Module):
    """Residual net over input pixels whose features gate textures made of Gaussian noise.

    Given the picture and the shared values, the detail is linear in the fresh noise: its size and direction follow the
    picture, and there are no outbursts, which noise that passes through rectifiers is prone to.
    """

    def __init__(self) -> None:
        super().__init__()

        def convolution(inputs: int, outputs: int, bias: bool = True) -> nn.Conv2d:
            return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect", bias=bias)

        self.head = convolution(3, CHANNELS)
        self.body = nn.ModuleList(convolution(CHANNELS, CHANNELS) for _ in range(LAYERS))
        self.gate = convolution(CHANNELS, TEXTURES)
        self.noise = convolution(FRESH, TEXTURES, bias=False)
        self.tail = convolution(CHANNELS + TEXTURES, 3 * SCALE * SCALE)
        self.shared = nn.Parameter(torch.randn(SHARED, TEXTURES) * 0.05)
        kernel = torch.tensor(bicubic_kernel(), dtype=torch.float32)
        self.register_buffer("kernel", kernel.repeat(3, 1, 1).unsqueeze(1), persistent=False)
        with torch.no_grad():
            self.tail.weight.mul_(0.1)
            self.tail.bias.zero_()
            for layer in self.body:
                layer.weight.mul_(0.5)

    def base(self, padded: Tensor) -> Tensor:
        """Bicubic enlargement of pictures (N, 3, h + 4, w + 4) to (N, 3, 4h, 4w)."""
        return functional.pixel_shuffle(functional.conv2d(padded, self.kernel, groups=3), SCALE)

    def detail(self, small: Tensor, draws: int) -> Tensor:
        """Draw ``draws`` random details (draws, N, 3, 4h, 4w) for pictures (N, 3, h, w) in [0, 1]."""
        count, _, height, width = small.shape
        hidden = self.head((small - 0.5) * 4)
        for layer in self.body:
            hidden = hidden + layer(functional.relu(hidden))
        features = functional.relu(hidden)
        gate = self.gate(features).repeat(draws, 1, 1, 1)
        loudness = torch.exp(torch.randn(draws * count, SHARED) @ self.shared).view(draws * count, TEXTURES, 1, 1)
        textures = self.noise(torch.randn(draws * count, FRESH, height, width)) * gate * loudness
        both = torch.cat((features.repeat(draws, 1, 1, 1), textures.to(features.dtype)), dim=1)
        shuffled = functional.pixel_shuffle(self.tail(both).float() * 0.25, SCALE)
        return shuffled.view(draws, count, 3, height * SCALE, width * SCALE)


def block_distance(difference: Tensor, block: int) -> Tensor:
    """Root mean square over square blocks (and channels) of ``difference`` (N, C, H, W), averaged."""
    energy = difference.square().mean(dim=1, keepdim=True)
    if block > 1:
        energy = functional.avg_pool2d(energy, block)
    return (energy + FLOOR).sqrt().mean()


def frequency_filters() -> Tensor:
    """Filters (192, 3, 8, 8): the orthonormal 8 x 8 cosine transform of each of three opponent colours."""
    k, n = np.meshgrid(np.arange(8), np.arange(8), indexing="ij")
    cosine = np.cos(np.pi * (n + 0.5) * k / 8) * np.where(k == 0, np.sqrt(1 / 8), np.sqrt(2 / 8))
    colours = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    filters = np.einsum("oc,ki,lj->oklcij", colours, cosine, cosine)
    return torch.tensor(filters.reshape(192, 3, 8, 8), dtype=torch.float32)


class Distance:
    """Distance of two pictures that stays a sum of norms of linear maps, so that the energy score stays proper.

    One part compares pixels and their averages in blocks. The other compares 8 x 8 cosine coefficients, each divided by
    its usual size: without it the fine frequencies, where photographs have little, are free to hold too much.
    """

    def __init__(self, usual: Tensor, weight: float) -> None:
        self.weight = weight
        level = usual.square().mean().sqrt()
        self.filters = frequency_filters() * (level / usual).view(-1, 1, 1, 1)

    def __call__(self, difference: Tensor, offset: tuple[int, int]) -> Tensor:
        """Mean distance of pictures that differ by ``difference`` (N, 3, 128, 128)."""
        average = functional.avg_pool2d(difference, SCALE)
        total = torch.zeros(())
        for block, weight in ((1, 1.0), (4, 1.0), (16, 0.5)):
            total = total + weight * (block_distance(difference, block) + block_distance(average, block))
        shifted = difference[..., offset[0] :, offset[1] :]
        coefficients = functional.conv2d(shifted, self.filters, stride=8)
        single = (coefficients.square() + FLOOR).sqrt().mean()
        return total + self.weight * (single + sum(block_distance(coefficients, block) for block in (1, 2, 4)))


class Texture:
    """Local size of frequency bands, as means of powers 1, 2 and 4, over patches of 1, 3 and 15 blocks.

    The energy score of pixels hardly punishes rare outbursts (its price is their probability squared); over a patch the
    fourth power makes them certain, and their price is paid.
    """

    def __init__(self, filters: Tensor) -> None:
        self.filters = filters
        highest = np.maximum(*np.meshgrid(np.arange(8), np.arange(8))).ravel()
        bands = [np.flatnonzero((highest >= low) & (highest <= high)) for low, high in ((1, 2), (3, 5), (6, 7))]
        self.bands = [*bands, *(np.concatenate((band + 64, band + 128)) for band in bands)]

    def __call__(self, picture: Tensor, offset: tuple[int, int]) -> list[Tensor]:
        """Features of pictures (N, 3, 128, 128)."""
        coefficients = functional.conv2d(picture[..., offset[0] :, offset[1] :], self.filters, stride=8)
        sizes = [coefficients[:, band].abs() for band in self.bands]
        features = []
        for power in (1, 2, 4):
            mean = torch.stack([(size**power).mean(dim=1) for size in sizes], dim=1)
            for patch in (1, 3, 15):
                pooled = functional.avg_pool2d(mean, patch) if patch > 1 else mean
                features.append((pooled + FLOOR ** (power / 2)) ** (1 / power))
        # One coefficient at a time over the whole crop, or texture keeps a mesh along the input's pixels.
        features.append(SPECTRUM * (coefficients.square().mean(dim=(2, 3)) + FLOOR).sqrt())
        return features


def apart(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Mean absolute difference of lists of features, added up."""
    return torch.stack([(x - y).abs().mean() for x, y in zip(a, b, strict=True)]).sum()


def usual_sizes(crops: Crops, net: StochasticNet) -> Tensor:
    """Root mean square of the coefficients of truth minus bicubic, at least a grey level: (192,)."""
    with torch.no_grad():
        truth, padded = crops.batch(256)
        coefficients = functional.conv2d(truth - net.base(padded), frequency_filters(), stride=8)
        return (coefficients.square().mean(dim=(0, 2, 3)) + (1 / 255) ** 2).sqrt()


def energy_score(draws: Tensor, truth: Tensor, distance: Distance, texture: Texture, weight: float) -> Tensor:
    """Energy score of two draws (2, N, 3, H, W) (Gneiting & Raftery 2007, section 4.2); lower is better.

    The score of the textures is added with ``weight``; being proper itself, it leaves the best forecast where it is.
    """
    offset = (random.randrange(8), random.randrange(8))
    to_truth = distance(draws[0] - truth, offset) + distance(draws[1] - truth, offset)
    pixels = 0.5 * (to_truth - distance(draws[0] - draws[1], offset))
    first, second, true = (texture(picture, offset) for picture in (draws[0], draws[1], truth))
    return pixels + weight * 0.5 * (apart(first, true) + apart(second, true) - apart(first, second))


class Crops:
    """Random aligned crops of photographs and of their 8-bit bicubic reductions, flipped and turned."""

    def __init__(self, folders: list[Path]) -> None:
        self.pairs: list[tuple[np.ndarray, np.ndarray]] = []
        for path in sorted(p for folder in folders for p in folder.rglob("*") if p.suffix in (".png", ".jpg")):
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
            width, height = picture.width // SCALE, picture.height // SCALE
            if min(width, height) <= CROP:
                continue
            picture = picture.crop((0, 0, width * SCALE, height * SCALE))
            small = picture.resize((width, height), Image.Resampling.BICUBIC)
            padded = np.pad(np.asarray(small), ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="reflect")
            self.pairs.append((np.asarray(picture), padded))
        # A large photograph has more to show, but not in proportion to its pixels.
        self.weights = [math.sqrt(small.size) for _, small in self.pairs]

    def one(self) -> tuple[np.ndarray, np.ndarray]:
        """Give one crop and its reduction with a margin, both (3, side, side) float32 in [0, 1]."""
        ((truth, small),) = random.choices(self.pairs, self.weights)
        y = random.randrange(small.shape[0] - 2 * MARGIN - CROP + 1)
        x = random.randrange(small.shape[1] - 2 * MARGIN - CROP + 1)
        side = CROP + 2 * MARGIN
        pair = [
            truth[SCALE * y : SCALE * (y + CROP), SCALE * x : SCALE * (x + CROP)],
            small[y : y + side, x : x + side],
        ]
        turns, flip = random.randrange(4), random.random() < 0.5
        out = [np.rot90(a[:, ::-1] if flip else a, turns).transpose(2, 0, 1) for a in pair]
        return out[0].astype(np.float32) / 255, out[1].astype(np.float32) / 255

    def batch(self, count: int) -> tuple[Tensor, Tensor]:
        """Give ``count`` crops as two tensors."""
        truths, smalls = zip(*(self.one() for _ in range(count)), strict=True)
        return torch.from_numpy(np.stack(truths)), torch.from_numpy(np.stack(smalls))


def save(state: dict[str, Tensor], path: Path) -> None:
    """Write the weights as float16 arrays, those of convolutions as (3, 3, inputs, outputs)."""
    arrays: dict[str, np.ndarray] = {}
    for name in ("head", *(f"body.{i}" for i in range(LAYERS)), "gate", "noise", "tail"):
        gain = {"head": 4.0, "tail": 0.25}.get(name, 1.0)
        key = name.replace(".", "_")
        arrays[f"{key}_weight"] = (state[f"{name}.weight"].permute(2, 3, 1, 0).numpy() * gain).astype(np.float16)
        if name != "noise":
            bias = state[f"{name}.bias"].numpy()
            arrays[f"{key}_bias"] = (bias * (gain if name == "tail" else 1.0)).astype(np.float16)
    shared = state["shared"].numpy()
    gain = np.exp((1 - CALM**2) * (shared**2).sum(axis=0) / 2)
    arrays["noise_weight"] = (arrays["noise_weight"].astype(np.float32) * gain).astype(np.float16)
    arrays["shared"] = (shared * CALM).astype(np.float16)
    temporary = path.with_suffix(".part.npz")
    np.savez_compressed(temporary, **arrays)
    temporary.replace(path)


def main() -> None:
    """Train for a number of minutes, saving averaged weights every two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, help="weights file, .npz")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1.5e-3, help="largest learning rate")
    parser.add_argument("--frequency-weight", type=float, default=1.0, help="share of frequencies in the distance")
    parser.add_argument("--texture-weight", type=float, default=0.3, help="share of the score of textures")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", type=Path, help="PyTorch state written beside an earlier weights file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    random.seed(arguments.seed)
    crops = Crops(arguments.photographs)
    net = StochasticNet().to(memory_format=torch.channels_last)
    if arguments.resume:
        net.load_state_dict(torch.load(arguments.resume, weights_only=True))
    average = {name: value.detach().clone() for name, value in net.state_dict().items()}
    print(f"{len(crops.pairs)} photographs, {sum(p.numel() for p in net.parameters())} parameters", flush=True)
    distance = Distance(usual_sizes(crops, net), arguments.frequency_weight)
    texture = Texture(distance.filters)
    optimiser = torch.optim.Adam(net.parameters(), lr=arguments.rate, betas=(0.9, 0.999))
    started = saved = time.monotonic()
    step, recent = 0, 0.0
    while (elapsed := (time.monotonic() - started) / (60 * arguments.minutes)) < 1:
        warm = min(1.0, (step + 1) / 100)
        for group in optimiser.param_groups:
            group["lr"] = arguments.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * elapsed)))
        truth, padded = crops.batch(arguments.batch)
        small = padded[..., MARGIN:-MARGIN, MARGIN:-MARGIN].contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            detail = net.detail(small, draws=2)
        loss = energy_score(net.base(padded) + detail, truth, distance, texture, arguments.texture_weight)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimiser.step()
        step += 1
        recent += loss.item()
        keep = min(0.998, step / (step + 20))
        with torch.no_grad():
            for name, value in net.state_dict().items():
                average[name].lerp_(value, 1 - keep)
        if step % 100 == 0:
            print(f"step {step} minute {elapsed * arguments.minutes:.1f} loss {recent / 100:.5f}", flush=True)
            recent = 0.0
        if time.monotonic() - saved > 120:
            saved = time.monotonic()
            save(average, arguments.out)
            torch.save(average, arguments.out.with_suffix(".pt"))
    save(average, arguments.out)
    torch.save(average, arguments.out.with_suffix(".pt"))
    print(f"{step} steps, weights in {arguments.out}", flush=True)


if __name__ == "__main__":
    main()
