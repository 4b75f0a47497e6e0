"""Small maps of scores and losses, full of ties and odd values, and the thresholds between their scores."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

BOUND = 1.9576
shapes = st.tuples(st.integers(1, 7), st.integers(1, 7))
scores_of_maps = st.sampled_from([-3.5, -1e-40, -0.0, 0.0, 1e-45, 0.1, 0.25, 1.0, 3e38, float("nan")]).map(np.float32)
losses_of_maps = st.sampled_from([0.0, -0.0, 1e-45, 0.5, 0.6, 0.7, 0.75, 1.0, 1.9575]).map(np.float32)
maps = shapes.flatmap(
    lambda shape: st.tuples(
        arrays(np.float32, shape, elements=scores_of_maps | st.floats(-(2.0**100), 2.0**100, width=32)),
        arrays(np.float32, shape, elements=losses_of_maps | st.floats(0, 1.75, width=32)),
    )
)


def thresholds(scores):
    finite = np.unique(scores[np.isfinite(scores)]).astype(np.float64)
    return [-np.inf, *finite.tolist(), *np.nextafter(finite, np.inf).tolist(), np.inf]
