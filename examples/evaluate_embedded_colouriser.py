"""Measure the embedded colouriser on photographs outside its training set: figures and, on request, a sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from evaluate_embedded_vendor import DRAWS, SIGMAS, crops_of, parser_of, rank_correlations, rank_shares
from PIL import Image

from blackbox_conformal.embedded.studio import Colouriser

Values = npt.NDArray[np.float64]
SHOWN = 4  # draws on the sheet
PANEL = 200  # side of a picture on the sheet


def split(pictures: npt.NDArray[np.uint8]) -> tuple[Values, Values]:
    """Give luma (...) and Cb, Cr (..., 2) in levels of 255, without rounding (ITU-R BT.601)."""
    pixels = pictures.astype(np.float64)
    luma = pixels @ (0.299, 0.587, 0.114)
    return luma, np.stack(((pixels[..., 2] - luma) / 1.772, (pixels[..., 0] - luma) / 1.402), axis=-1)


def colourfulness(picture: npt.NDArray[np.uint8]) -> float:
    """Colourfulness of a picture (Hasler & Süsstrunk 2003), 0 for grey."""
    red, green, blue = np.moveaxis(picture.astype(np.float64), -1, 0)
    opponents = np.stack((red - green, (red + green) / 2 - blue))
    spread, mean = opponents.std(axis=(1, 2)), opponents.mean(axis=(1, 2))
    return float(np.hypot(*spread) + 0.3 * np.hypot(*mean))


def measure(truth: npt.NDArray[np.uint8], grey: npt.NDArray[np.uint8], draws: npt.NDArray[np.uint8]) -> list[float]:
    """Figures of one photograph, in the order in which `report` prints them."""
    _, wanted = split(truth)
    luma, drawn = split(draws)
    mean = drawn.mean(axis=0)
    error = np.linalg.norm(mean - wanted, axis=-1)
    spread = np.sqrt(drawn.var(axis=0, ddof=1).sum(axis=-1))
    # Spread of a calibrated ensemble matches the error of its mean, up to the finite number of draws.
    expected = np.sqrt(np.mean(spread**2) * (1 + 1 / DRAWS))
    return [
        float(np.linalg.norm(wanted, axis=-1).mean()),
        float(np.linalg.norm(drawn - wanted, axis=-1).mean()),
        float(error.mean()),
        colourfulness(truth),
        float(np.mean([colourfulness(draw) for draw in draws])),
        *rank_correlations(spread, error),
        float(expected / max(np.sqrt(np.mean(error**2)), 1e-9)),
        float(np.abs(luma - grey[..., 0]).max()),
    ]


def report(name: str, table: Values, histogram: Values) -> None:
    """Print averages over photographs."""
    mean = table.mean(axis=0)
    print(f"{name}, {len(table)} photographs, {DRAWS} draws each")
    print(f"chroma error in levels: grey {mean[0]:.2f}, one draw {mean[1]:.2f}, mean of draws {mean[2]:.2f}")
    print(f"mean of draws beats grey on {np.count_nonzero(table[:, 2] < table[:, 0])} of {len(table)}")
    print(f"colourfulness: truth {mean[3]:.1f}, draws {mean[4]:.1f}")
    ranks = ", ".join(f"sigma {s}: {r:.3f}" for s, r in zip(SIGMAS, np.nanmean(table[:, 5:8], axis=0), strict=True))
    print(f"Spearman of spread and |mean - truth|: {ranks}")
    print("rank of the truth among the draws: " + " ".join(f"{share:.3f}" for share in histogram))
    print(f"spread / error of the mean (1 is calibrated): median {np.median(table[:, 8]):.2f}")
    print(f"largest change of luma: {table[:, 9].max():.2f} levels")


def panel(picture: npt.NDArray[np.uint8]) -> Image.Image:
    """A picture at the sheet's size."""
    return Image.fromarray(picture).resize((PANEL, PANEL), Image.Resampling.LANCZOS)


def main() -> None:
    """Print the figures for all photographs of the folders given."""
    parser = parser_of(__doc__)
    parser.add_argument("--sheet", type=Path, help="picture file: a row of input, truth and four draws per photograph")
    arguments = parser.parse_args()
    colouriser = Colouriser()
    rows, histograms, shown = [], [], []
    for _, picture, seed in crops_of(arguments):
        truth, grey = np.asarray(picture), np.asarray(picture.convert("L").convert("RGB"))
        draws = np.stack([colouriser.colourise(grey, (seed + k) % 2**32) for k in range(DRAWS)])
        rows.append(measure(truth, grey, draws))
        histograms.append(rank_shares(split(draws)[1], split(truth)[1], seed))
        shown.append([panel(one) for one in (grey, truth, *draws[:SHOWN])])
    report(colouriser.model, np.array(rows), np.mean(histograms, axis=0))
    if arguments.sheet:
        sheet = Image.new("RGB", (PANEL * (2 + SHOWN), PANEL * len(shown)))
        for y, line in enumerate(shown):
            for x, one in enumerate(line):
                sheet.paste(one, (PANEL * x, PANEL * y))
        sheet.save(arguments.sheet)


if __name__ == "__main__":
    main()
