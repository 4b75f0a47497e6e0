"""Digests of all that a mask or a calibration is made of, on pictures that are made up: `python fingerprints.py`.

A process of its own prints them, since the libraries choose their code for a processor when they are loaded.
"""

import json
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from blackbox_conformal.embedded.studio import Studio
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.duplicates import sketch
from blackbox_conformal.method.images.fine_reference import fine_reference
from blackbox_conformal.method.images.input_statistics import InputStatistics
from blackbox_conformal.method.images.jpeg_traces import block_energies
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.method.images.resemblance import Sent
from blackbox_conformal.method.kernels.detail import displacement
from blackbox_conformal.method.pair_facts import pair_sizes
from blackbox_conformal.method.risk.whole_errors import SquaredErrors, Twentieths
from blackbox_conformal.method.scores._learned_network import features as learned_features
from blackbox_conformal.method.scores._learned_network import log_multipliers, own_network
from blackbox_conformal.method.scores.predicted_invention import features
from blackbox_conformal.method.scores.score import Context, accumulated_map
from blackbox_conformal.support import catalog
from support.family_cases import built_without_parameters, cases, metrics_of_pictures_alone
from support.synthetic import draw, photograph, reduced

SCALE = 4
TRUTH = photograph(1, (192, 240))
LOW = reduced(TRUTH, SCALE)
DRAWS = [draw(TRUTH, seed) for seed in range(3)]


def computed() -> Iterator[tuple[str, object]]:
    """Every intermediate result by name."""
    context = Context(DRAWS[0], LOW, SCALE, draw(TRUTH, 99))
    free = [reference(LOW, SCALE, degraded=degraded) for degraded in (False, True)]
    yield "reference", free
    yield "fine reference", fine_reference(LOW, SCALE)
    yield "features", features(DRAWS[0], LOW, free[:1], degraded=False)
    learned = learned_features(context, LOW)
    yield "learned features", learned
    yield "learned network", log_multipliers(own_network().arrays, learned)
    for name, parameters in cases("scores", built_without_parameters("scores")):
        yield f"score {name} {parameters}", accumulated_map(catalog.load("scores", name, **parameters), DRAWS, context)
    for name, parameters in cases("metrics", metrics_of_pictures_alone()):
        metric = catalog.load("metrics", name, **parameters)
        yield f"metric {name} {parameters}", metric.map(TRUTH, DRAWS[0])
    bicubic = Mixture.of_text("bicubic").at(SCALE)
    for name in ("invention", "omission"):
        yield f"metric {name}", catalog.load("metrics", name).errors(TRUTH, DRAWS[0], LOW, bicubic)
    yield "displacement", displacement(np.roll(TRUTH, 2, 0), TRUTH, 4.0)
    yield "resemblance", [Sent(LOW).resemblance(each) for each in (*DRAWS, TRUTH[::-1], photograph(2, (96, 120)))]
    yield "statistics", InputStatistics.of(LOW).values
    yield "pair sizes", pair_sizes(LOW, DRAWS[0]).values
    yield "sketch", sketch(TRUTH).thumbnail
    yield "sketch detail", sketch(TRUTH).detail
    yield "block energies", block_energies(TRUTH)
    scores = accumulated_map(catalog.load("scores", "bicubic-gap"), DRAWS, context)
    yield "squared errors", SquaredErrors.of(Twentieths.of(scores), TRUTH, [("delivered", DRAWS[0])]).values
    for task, offered in Studio().tasks.items():
        yield f"embedded {task}", [offered.draw(LOW, seed) for seed in range(2)]


def digest(value: object) -> str:
    """Of arrays their bytes, of anything else how it is written."""
    content = value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
    if isinstance(value, list) and isinstance(value[0], np.ndarray):
        content = b"".join(each.tobytes() for each in value)
    return sha256(content).hexdigest()[:16]


if __name__ == "__main__":
    json.dump({name: digest(value) for name, value in computed()}, sys.stdout, indent=0)
