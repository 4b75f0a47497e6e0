"""The score `predicted-invention` by its definition in float64: features of cells, then three layers."""

from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
from naive import cells, windows

# The weights stand in the package, wherever that is installed; a twin runs none of the package's code.
FOLDER = Path(find_spec("blackbox_conformal").origin).parent / "method" / "scores"


def shares(delivered, low, free, plain, degraded):
    """(H, W): the expected share of added detail that is invented."""
    scale = len(delivered) // len(low)
    weights = np.load(FOLDER / "predicted_invention_weights.npz")
    seen, added = features([cells.cell_products(delivered, one, plain, scale) for one in free], degraded)
    for layer in ("first", "second", "last"):
        seen = np.tensordot(weights[layer].astype(float), seen, 1) + weights[f"{layer}_bias"][:, None, None]
        seen = seen if layer == "last" else np.maximum(seen, 0)
    return np.kron((added + 1) / (added + 3) / (1 + np.exp(-seen[0])), np.ones((scale, scale)))


def features(references, degraded):
    """(2 + 32 · references, h, w), and the energy of added detail in the narrower window."""
    found, logs = [], []
    for products, sigma in product(references, (1, 2)):
        smooth = np.stack([windows.gaussian(plane, sigma) for plane in products])
        means = smooth[6:15].reshape(3, 3, *smooth.shape[1:])
        covariances = [
            smooth[index] - (means[k] * means[m]).mean(axis=0)
            for index, (k, m) in enumerate((k, m) for k in range(3) for m in range(k, 3))
        ]
        part, whole, first = of_band(*covariances)
        fine_part, fine_whole, second = of_band(*smooth[15:])
        log = np.log(whole + 1)
        both = logit((part + 2 * fine_part) / (whole + 2 * fine_whole + 1))
        found += [*first, *second, both, np.log(fine_whole + 1) - log]
        logs.append(log)
    return np.stack([*found, logs[0] - logs[1], np.full_like(logs[0], degraded)]), np.exp(logs[0]) - 1


def of_band(aa, ar, au, rr, ru, uu):
    """Unexplained and whole energy of added detail, and seven features."""
    aa, rr, uu = np.maximum([aa, rr, uu], 0)
    by_r, by_u, of_both = (
        ar / np.sqrt((aa + 1) * (rr + 1)),
        au / np.sqrt((aa + 1) * (uu + 1)),
        ru / np.sqrt((rr + 1) * (uu + 1)),
    )
    blend = np.clip(ar / (rr + 10), 0, 1.5)
    part = np.clip(aa - 2 * blend * ar + blend**2 * rr, 0, aa)
    joint = (by_r**2 + by_u**2 - 2 * by_r * by_u * of_both) / np.maximum(1 - of_both**2, 0.02)
    ratios = np.log((rr + 1) / (aa + 1)), np.log((uu + 1) / (aa + 1))
    return part, aa, [logit(part / (aa + 1)), logit(1 - np.clip(joint, 0, 1)), by_r, by_u, of_both, *ratios]


def logit(share):
    return np.log((share + 0.01) / (1.01 - share))
