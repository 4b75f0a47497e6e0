"""Time the scores of one draw, with the free reference that they compare with, against decoding that draw."""

import io
from dataclasses import replace
from functools import partial

import baseline
import numpy as np
from bench import Bench
from material import SCALE, cut, drawn, photograph
from PIL import Image as PillowImage
from timing import at_most, pairs

from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.scores.score import accumulated_map
from blackbox_conformal.study.stages.defaults import default_score
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support.types import Image

MOST = 5


def scoring(bench: Bench) -> None:
    """The default scores at two sizes against Pillow decoding the delivered pictures."""
    bench = replace(bench, draws=1)
    for width, height in ((512, 512),) if bench.quick else ((1024, 1024), (3840, 2160)):
        pictures, files = list[tuple[Image, Image]](), list[bytes]()
        for number in range(bench.count):
            source = bench.sources[number * len(bench.sources) // bench.count] if bench.sources else None
            truth = cut(source, width, height) if source else photograph(width, height, number)
            pictures.append(
                (drawn(truth, np.random.default_rng(number)), Mixture.of_text("bicubic").apply(truth, SCALE))
            )
            file = io.BytesIO()
            PillowImage.fromarray(pictures[-1][0]).save(file, "PNG")
            files.append(file.getvalue())
        for name in dict.fromkeys(default_score(1, SCALE, of_detail=of_detail) for of_detail in (False, True)):
            scored = partial(_scored, bench.setup(name), pictures)
            _, processor = pairs(scored, lambda files=files: [baseline.decode(file) for file in files], bench.repeats)
            at_most(
                f"{name} of {bench.count} pictures of {width} x {height} / Pillow decoding, 1 thread", processor, MOST
            )


def _scored(setup: Setup, pictures: list[tuple[Image, Image]]) -> None:
    for delivered, low in pictures:
        accumulated_map(setup.score, [delivered], setup.context(delivered, low, None))
