"""Scenes like Sentinel-2's, a network's stand-in that improves, omits and invents, and what a mask leaves of each.

    python examples/sentinel_like.py --out scenes

Each scene is made here: 128 × 128 pixels of four bands (blue, green, red, near infrared; reflectance × 10,000), fields
with straight edges, woods and towns with texture, and roads one pixel wide. What is sent is the mean of each 4 × 4
pixels and noise, as a GeoTIFF of pixels four times as large. The stand-in sharpens edges, loses roads, and draws a new
texture each time where the input has some.

Every pixel that differs enough is so much an improvement, an omission and an invention, by the distances of opensr-test
(Aybar et al., A Comprehensive Benchmark for Optical Remote Sensing Image Super-Resolution, IEEE GRSL 2024; the formulas
of its documentation and the defaults of version 1.3.3, without its border and its harmonisation): of the delivered
picture, of the safe one, inside the mask, and outside. *judged*: which share of all pixels differs enough. These are
figures of this stand-in on these scenes, and compare with no network's.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import Affine

import blackbox_conformal as bc
from blackbox_conformal.pages.geotiff_command import scenes_among, write_geotiffs

SIDE, SCALE, DRAWS, LARGEST = 128, 4, 4, 10_000
KINDS = np.array([[400, 700, 500, 4200], [900, 1200, 1500, 2600], [600, 600, 500, 300], [1800, 1900, 2100, 2400]])
"""Reflectance of crops, soil, water and town, by band."""
TEXTURE = np.array([0.04, 0.02, 0.0, 0.35])
STEEPNESS, TEMPERATURE, WATCHED, EPSILON = 0.05, 0.25, 0.75, 1e-8
"""Of opensr-test: gamma of all three distances, that of the softmin, which quantile of differences is looked at."""
CLASSES = ("improvement", "omission", "invention")

Numbers = NDArray[np.float64]


def made_scene(random: np.random.Generator) -> Numbers:
    """(H, W, 4): the nearest of a few points says what grows where, and roads cross it."""
    y, x = np.mgrid[:SIDE, :SIDE]
    points = random.uniform(0, SIDE, (14, 2))
    nearest = np.argmin([(y - a) ** 2 + (x - b) ** 2 for a, b in points], axis=0)
    kind = random.integers(0, len(KINDS), len(points))[nearest]
    light = random.uniform(0.8, 1.2, len(points))[nearest]
    scene = KINDS[kind] * light[..., np.newaxis]
    scene *= 1 + TEXTURE[kind][..., np.newaxis] * random.normal(size=(SIDE, SIDE, 1))
    for slope in random.uniform(-1, 1, 3):
        rows = np.rint(np.arange(SIDE) * slope + random.uniform(0, SIDE)).astype(int)
        columns = np.flatnonzero((rows >= 0) & (rows < SIDE))
        scene[rows[columns], columns] = [1500, 1600, 1700, 1900]
    return np.clip(scene, 1, LARGEST)


def sent(scene: Numbers, random: np.random.Generator) -> Numbers:
    """What a sensor of coarser pixels sees."""
    coarse = scene.reshape(SIDE // SCALE, SCALE, SIDE // SCALE, SCALE, -1).mean(axis=(1, 3))
    return np.clip(coarse + random.normal(0, 15, coarse.shape), 1, LARGEST)


def enlarged(coarse: Numbers, how: Image.Resampling) -> Numbers:
    bands = [Image.fromarray(band.astype(np.float32)).resize((SIDE, SIDE), how) for band in np.moveaxis(coarse, 2, 0)]
    return np.stack([np.asarray(band, np.float64) for band in bands], axis=2)


def around(coarse: Numbers) -> Numbers:
    """(9, h, w, 4): each pixel and its neighbours."""
    padded = np.pad(coarse, ((1, 1), (1, 1), (0, 0)), "edge")
    height, width = coarse.shape[:2]
    return np.stack([padded[a : a + height, b : b + width] for a in range(3) for b in range(3)])


def answered(coarse: Numbers, random: np.random.Generator) -> Numbers:
    """One answer of the stand-in for a network."""
    near = around(coarse)
    low, high = (enlarged(end, Image.Resampling.BICUBIC) for end in (near.min(axis=0), near.max(axis=0)))
    smooth = enlarged(coarse, Image.Resampling.BICUBIC)
    # An edge becomes steep where the values on both sides are far apart.
    place = np.clip((smooth - low) / np.maximum(high - low, 1), 0, 1)
    sharp = low + (high - low) / (1 + np.exp(-10 * (place - 0.5)))
    apart = np.clip((high - low) / (smooth + 1) - 0.1, 0, 1)
    rough = enlarged(np.abs(near - np.median(near, axis=0)).mean(axis=0), Image.Resampling.BICUBIC)
    drawn = smooth + apart * (sharp - smooth) + 0.8 * rough * random.normal(size=(SIDE, SIDE, 1))
    return np.clip(drawn, 1, LARGEST)


def distance(one: Numbers, other: Numbers) -> Numbers:
    """(H, W): |a - b| / |a + b|, averaged over bands."""
    between: Numbers = (np.abs(one - other) / np.abs(one + other + EPSILON)).mean(axis=2)
    return between


def split(coarse: Numbers, picture: Numbers, truth: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
    """How much each pixel is of each of `CLASSES`, (3, H, W), sums 1; and which pixels differ enough to be judged."""
    plain = enlarged(coarse, Image.Resampling.BILINEAR)
    lost, wrong, added = distance(plain, truth), distance(picture, truth), distance(picture, plain)
    least = np.sort(lost.ravel())[int(WATCHED * lost.size) - 1]
    judged = (lost > least) | (wrong > least) | (added > least)
    with np.errstate(divide="ignore", invalid="ignore"):
        wrong, added = wrong / lost, added / lost
        bend = 1 - np.exp(-STEEPNESS * (wrong + added - 1))
        far = np.stack([wrong + added * bend, added + wrong * bend, np.exp(-STEEPNESS * wrong * added)])
        near = np.exp(-far / TEMPERATURE)
    return near / near.sum(axis=0), judged


def material(seeds: range) -> Iterator[tuple[NDArray[np.uint16], NDArray[np.uint16], list[NDArray[np.uint16]]]]:
    """Scene, input and answers by seed, as whole numbers."""
    for seed in seeds:
        random = np.random.default_rng(seed)
        truth = np.rint(made_scene(random)).astype(np.uint16)
        coarse = np.rint(sent(truth.astype(float), random)).astype(np.uint16)
        answers = [np.rint(answered(coarse.astype(float), random)).astype(np.uint16) for _ in range(DRAWS)]
        yield truth, coarse, answers


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--out", type=Path, default=Path("scenes"))
    options.add_argument("--calibrate", type=int, default=60, help="How many scenes calibrate.")
    options.add_argument("--mask", type=int, default=20, help="How many others are masked.")
    options.add_argument("--alpha", type=float, default=0.2, help="The mean error in the worst trusted pixel.")
    given = options.parse_args()
    truths, inputs, outputs = zip(*material(range(given.calibrate)), strict=True)
    calibration = bc.calibrate(
        inputs=list(inputs),
        outputs=list(outputs),
        truths=list(truths),
        bands=f"4:0:{LARGEST}",
        label="stand-in",
        metric="band-l1",
        score="pixel-variance",
        run=given.out / "run",
    )
    # Sums of the classes over judged pixels, how many these are, and how many pixels there are.
    rows = {name: np.zeros(5) for name in ("delivered", "safe picture", "inside", "outside")}
    for place, (truth, coarse, answers) in enumerate(material(range(given.calibrate, given.calibrate + given.mask))):
        scene = given.out / f"scene{place:02d}.tif"
        transform = Affine(40, 0, 600_000, 0, -40, 5_300_000 - 10 * SIDE * place)
        profile = {"width": SIDE // SCALE, "height": SIDE // SCALE, "count": 4, "dtype": "uint16"}
        with rasterio.open(scene, "w", "GTiff", crs="EPSG:32632", transform=transform, **profile) as dataset:
            dataset.write(np.moveaxis(coarse, 2, 0))
        result = bc.mask(answers, scene, calibration, given.alpha, run=given.out / "run")
        files = result.save(given.out / "masked", safe=True, force=True)
        write_geotiffs(files.certificate, scenes_among([scene]), force=True)
        with rasterio.open(given.out / "masked" / f"scene{place:02d}-safe.tif") as dataset:
            safe = np.moveaxis(dataset.read(), 0, 2).astype(float)
        whole = np.ones_like(result.mask)
        for name, picture, part in (
            ("delivered", answers[0].astype(float), whole),
            ("safe picture", safe, whole),
            ("inside", answers[0].astype(float), result.mask),
            ("outside", answers[0].astype(float), ~result.mask),
        ):
            amounts, judged = split(coarse.astype(float), picture, truth.astype(float))
            judged &= part
            rows[name] += [*amounts[:, judged].sum(axis=1), judged.sum(), part.sum()]
    trusted = rows["inside"][4] / rows["delivered"][4]
    print(f"{trusted:.1%} trusted at alpha={given.alpha:g}, {given.mask} scenes")
    print(" " * 14, *(f"{name:>12}" for name in (*CLASSES, "judged")))
    for name, (*sums, judged, pixels) in rows.items():
        print(f"{name:14}", *(f"{share:12.1%}" for share in [*(each / judged for each in sums), judged / pixels]))


if __name__ == "__main__":
    main()
