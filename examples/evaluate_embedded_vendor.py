"""Measure the embedded vendor on photographs outside its training set: four figures and, on request, pictures."""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from blackbox_conformal.embedded.studio import Generator

Map = npt.NDArray[np.floating]
SCALE = 4
DRAWS = 8
SIGMAS = (0, 4, 16)


def central_crop(path: Path, side: int) -> Image.Image:
    """Halve a large photograph (compression artefacts go), then cut out its centre."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    if min(picture.size) >= 2 * side:
        picture = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX)
    side = min(side, *(length // SCALE * SCALE for length in picture.size))
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def psnr(picture: npt.NDArray[np.floating], truth: npt.NDArray[np.floating]) -> float:
    """Peak signal-to-noise ratio in dB over 8-bit RGB."""
    return float(10 * np.log10(255**2 / max(np.mean((picture - truth) ** 2), 1e-9)))


def rank_shares(draws: npt.NDArray[np.floating], truth: npt.NDArray[np.floating], seed: int) -> npt.NDArray[np.float64]:
    """Share of samples at which the truth has rank 0 .. DRAWS among the draws, ties broken at random."""
    below = (draws < truth).sum(axis=0)
    ties = (draws == truth).sum(axis=0)
    rank = below + np.random.default_rng(seed).integers(0, ties + 1)
    return np.bincount(rank.ravel(), minlength=DRAWS + 1) / rank.size


def rank_correlations(spread: Map, error: Map) -> list[float]:
    """Spearman correlation of two maps (height, width), each smoothed by SIGMAS in turn."""
    return [
        float(spearmanr(*(gaussian_filter(m, s).ravel() if s else m.ravel() for m in (spread, error)))[0])
        for s in SIGMAS
    ]


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """A parser of what `crops_of` takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("photographs", type=Path, nargs="+", metavar="DIR")
    parser.add_argument("--side", type=int, default=384, help="side of the central crop in pixels")
    parser.add_argument("--limit", type=int, help="use only the first so many photographs")
    return parser


def crops_of(options: argparse.Namespace) -> Iterator[tuple[Path, Image.Image, int]]:
    """Yield each photograph's path and central crop, and the seed of its first draw."""
    suffixes = {".png", ".jpg", ".jpeg", ".webp"}
    paths = sorted(p for folder in options.photographs for p in folder.iterdir() if p.suffix.lower() in suffixes)
    for path in paths[: options.limit]:
        yield path, central_crop(path, options.side), zlib.crc32(path.name.encode())


def show(path: Path, truth: Image.Image, small: Image.Image, draws: npt.NDArray[np.float32]) -> None:
    """Save truth, bicubic, one draw, mean of the draws and their spread (times 8) side by side."""
    spread = draws.std(axis=0).mean(axis=-1, keepdims=True).repeat(3, axis=-1) * 8
    panels = [
        np.asarray(truth),
        np.asarray(small.resize(truth.size, Image.Resampling.BICUBIC)),
        draws[0],
        draws.mean(axis=0),
        spread,
    ]
    Image.fromarray(np.concatenate(panels, axis=1).clip(0, 255).round().astype(np.uint8)).save(path)


def main() -> None:
    """Print the figures for all photographs of the folders given."""
    parser = parser_of(__doc__)
    parser.add_argument("--looks", type=Path, help="folder for pictures to look at")
    parser.add_argument("--each", action="store_true", help="print a line for each photograph")
    arguments = parser.parse_args()
    generator = Generator()
    rows, histograms = [], []
    for path, picture, seed in crops_of(arguments):
        side = picture.width
        small = picture.resize((side // SCALE, side // SCALE), Image.Resampling.BICUBIC)
        truth = np.asarray(picture, np.float32)
        lowres = np.asarray(small)
        draws = np.stack([generator.upscale(lowres, (seed + k) % 2**32) for k in range(DRAWS)]).astype(np.float32)
        mean, spread = draws.mean(axis=0), draws.std(axis=0, ddof=1).mean(axis=-1)
        error = np.abs(mean - truth).mean(axis=-1)
        ranks = rank_correlations(spread, error)
        bicubic = np.asarray(small.resize(picture.size, Image.Resampling.BICUBIC), np.float32)
        # Spread of a calibrated ensemble matches the error of its mean, up to the finite number of draws.
        ratio = np.sqrt((draws.var(axis=0, ddof=1).mean() * (1 + 1 / DRAWS)) / max(np.mean((mean - truth) ** 2), 1e-9))
        rows.append([psnr(bicubic, truth), psnr(draws[0], truth), psnr(mean, truth), *ranks, float(ratio)])
        histograms.append(rank_shares(draws, truth, seed))
        if arguments.each:
            print(path.name, " ".join(f"{v:.3f}" for v in rows[-1]), flush=True)
        if arguments.looks:
            arguments.looks.mkdir(parents=True, exist_ok=True)
            show(arguments.looks / f"{path.stem}.png", picture, small, draws)
    table = np.array(rows)
    average = table.mean(axis=0)
    print(f"{generator.model}, {len(rows)} photographs, {DRAWS} draws each")
    print(f"PSNR: bicubic {average[0]:.2f} dB, one draw {average[1]:.2f} dB, mean of draws {average[2]:.2f} dB")
    print(f"mean of draws beats bicubic on {np.count_nonzero(table[:, 2] > table[:, 0])} of {len(rows)}")
    print(
        "Spearman of spread and |mean - truth|: "
        + ", ".join(f"sigma {s}: {r:.3f}" for s, r in zip(SIGMAS, average[3:6], strict=True))
    )
    print("rank of the truth among the draws: " + " ".join(f"{share:.3f}" for share in np.mean(histograms, axis=0)))
    print(f"spread / error of the mean (1 is calibrated): median {np.median(table[:, 6]):.2f}")


if __name__ == "__main__":
    main()
