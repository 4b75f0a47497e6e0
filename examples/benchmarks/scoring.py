"""Time the scores of one draw, with the free reference that they compare with, against decoding that draw."""

import io
from dataclasses import replace
from functools import partial

import baseline
import numpy as np
from bench import Bench
from material import SCALE, cut, drawn, photograph
from PIL import Image
from timing import at_most, pairs

from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.scores.score import accumulated_map
from blackbox_conformal.study.stages.defaults import default_score

MOST = 5


def scoring(bench: Bench) -> None:
    """The default scores at two sizes against Pillow decoding the delivered picture."""
    for width, height in ((512, 512),) if bench.quick else ((1024, 1024), (3840, 2160)):
        truth = cut(bench.sources[0], width, height) if bench.sources else photograph(width, height, 0)
        low, delivered = Mixture.of_text("bicubic").apply(truth, SCALE), drawn(truth, np.random.default_rng(0))
        file = io.BytesIO()
        Image.fromarray(delivered).save(file, "PNG")
        decode = partial(baseline.decode, file.getvalue())
        for name in dict.fromkeys(default_score(1, SCALE, of_detail=of_detail) for of_detail in (False, True)):
            setup = replace(bench, draws=1).setup(name)
            scored = partial(accumulated_map, setup.score, [delivered], setup.context(delivered, low, None))
            _, processor = pairs(scored, decode, bench.repeats)
            at_most(f"{name} of {width} x {height} / Pillow decoding the picture, 1 thread", processor, MOST)
