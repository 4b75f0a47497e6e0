"""Measure the free reference on photographs that did not train it: how near to the truth it is, and what it costs.

    python examples/measure_reference.py PHOTOGRAPHS [--save]

PHOTOGRAPHS is a folder as collect_photographs.py makes it. The middle of each photograph is made an input in each way,
and enlarged by 4: plainly, by the embedded vendor without its noise, and by the reference.
"""

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import figures
import numpy as np
from PIL import Image

from blackbox_conformal.embedded.demonstration import reduce
from blackbox_conformal.embedded.studio import Generator
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.making_inputs import bicubic_up, crop_to_multiple
from blackbox_conformal.method.images.photographs import find_photographs
from blackbox_conformal.method.images.picture import pixels_digest
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.images.reference import SCALE, reference

SIDE = 384
MAKINGS = ("bicubic", "bicubic+jpeg:75", "phone")


def psnr(picture: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio of 8-bit RGB, in dB."""
    return float(10 * np.log10(255**2 / max(np.mean((picture.astype(np.float64) - truth) ** 2), 1e-6)))


def nearness(truths: list[np.ndarray]) -> figures.Table:
    """Mean PSNR by the making of inputs."""
    embedded = Generator()
    embedded._weights["noise"][:] = 0  # What is left is the mean of its draws, but for rounding.
    ways: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda low: bicubic_up(low, SCALE),
        lambda low: embedded.upscale(low, 0),
        lambda low: reference(low, SCALE),
        lambda low: reference(low, SCALE, degraded=True),
    ]
    columns = ["inputs by", "bicubic, dB", "embedded mean, dB", "reference, dB", "`degraded=True`, dB"]
    table: figures.Table = {"columns": figures.heading(columns), "rows": []}
    for making in MAKINGS:
        mixture, found = Mixture.of_text(making).at(SCALE), []
        for truth in truths:
            low = mixture.apply(truth, SCALE, pixels_digest(truth))
            found.append([psnr(way(low), truth) for way in ways])
        means = [f"{mean:.2f}" for mean in np.mean(found, axis=0)]
        table["rows"].append(figures.printed([f"`{making}`", *means]))
    return table


def costs(truth: np.ndarray) -> figures.Table:
    """Processor time beside that of decoding a PNG of the result, in one process."""
    table: figures.Table = {"columns": figures.heading(["what", "measured"]), "rows": []}
    low = np.ascontiguousarray(np.resize(truth, (256, 256, 3)))
    file = io.BytesIO()
    Image.fromarray(reference(truth[:256, :256], SCALE)).save(file, "PNG")
    seconds = {"reference": 0.0, "decode": 0.0}
    runs = {
        "reference": lambda: reference(low, SCALE),
        "decode": lambda: np.asarray(Image.open(io.BytesIO(file.getvalue()))),
    }
    for name, run in runs.items():
        seconds[name] = min(_processor_time(run) for _ in range(7))
    for row in (
        ("processor time, 256 to 1024 pixels a side", f"{seconds['reference']:.2f} s"),
        ("the same / decoding the PNG of the result", f"{seconds['reference'] / seconds['decode']:.1f}"),
    ):
        table["rows"].append(figures.printed(row))
    return table


def _processor_time(run: Callable[[], object]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


def main() -> None:
    """Read, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    figures.save_option(parser)
    options = parser.parse_args()
    truths = [
        crop_to_multiple(reduce(read_image(one.path).pixels, SIDE), SCALE)
        for one in find_photographs([options.photographs])
    ]
    tables = {"reference": nearness(truths), "reference, costs": costs(truths[0])}
    if options.save:
        for name, table in tables.items():
            figures.save("scores", name, table)


if __name__ == "__main__":
    main()
