"""Risk curves and thresholds by brute force, straight from the definitions, in exact fractions.

Nothing here is fast and nothing here imports the package.
"""

import math
from fractions import Fraction


def supremum_loss(score_map, errors, threshold):
    """Largest errors among pixels that score below the threshold."""
    worst = 0.0
    for score_row, error_row in zip(score_map.tolist(), errors.tolist(), strict=True):
        for score, error in zip(score_row, error_row, strict=True):
            if score < threshold and error > worst:
                worst = error
    return worst


def wrong_share(score_map, errors, threshold, tolerance):
    """Share of all pixels that score below the threshold and are wrong by more than the tolerance."""
    wrong = total = 0
    for score_row, error_row in zip(score_map.tolist(), errors.tolist(), strict=True):
        for score, error in zip(score_row, error_row, strict=True):
            total += 1
            wrong += score < threshold and error > tolerance
    return wrong / total


def loss(curve, threshold):
    """The loss of a curve, a list of (score, loss) pairs, at a threshold."""
    return max((value for score, value in curve if score < threshold), default=0)


def candidates(curves):
    """Every threshold at which anything can change, descending from +inf to -inf."""
    scores = {score for curve in curves for score, _ in curve} | {math.inf, -math.inf}
    return sorted(scores, reverse=True)


def expected_threshold(curves, alpha, bound, weights=None, weight_new=1, leaked=0, own=()):
    """Largest t with sum w L(t) + w_new B(t) <= alpha (sum w + w_new); alpha and bound as decimal strings."""
    alpha, bound = Fraction(alpha), Fraction(bound)
    weighted = weights is not None
    weights = [Fraction(1)] * len(curves) if weights is None else [Fraction(w) for w in weights]
    right = alpha * (sum(weights) + Fraction(weight_new))
    squares = sum(w * w for w in weights)
    worth = sum(weights) ** 2 / squares if squares else 0
    if weighted and alpha * (worth + 1) < bound:
        # As few photographs of equal weight could not reach the level.
        return -math.inf
    right = right * (len(curves) - leaked + 1) / (len(curves) + 1)
    for threshold in candidates([*curves, own]):
        if threshold == -math.inf:
            break
        left = sum(w * Fraction(loss(curve, threshold)) for w, curve in zip(weights, curves, strict=True))
        highest = min(bound, Fraction(loss(own, threshold))) if own else bound
        if left + Fraction(weight_new) * highest <= right:
            return threshold
    return -math.inf


def literal_threshold(curves, alpha, bound):
    """The rule as printed, sup { t : ... sigma <= t ... }, whose trusted set is { sigma <= t }: not valid with ties."""
    return expected_threshold(curves, alpha, bound)


def per_image_threshold(curves, tolerance, rank):
    """The rank-th smallest of sup { t : L_i(t) <= tolerance }; -inf at rank 0."""
    if rank == 0:
        return -math.inf
    tolerance = Fraction(tolerance)
    limits = [
        min((score for score, value in curve if Fraction(value) > tolerance), default=math.inf) for curve in curves
    ]
    return sorted(limits)[rank - 1]


def binomial_cdf(k, n, p):
    """P(Bin(n, p) <= k) in exact fractions."""
    p = Fraction(p)
    return sum(math.comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(min(k, n) + 1)) if k >= 0 else Fraction(0)


def per_image_rank(n, delta, confidence=None):
    """floor(delta (n + 1)), or the largest k with P(Beta(k, n + 1 - k) > delta) <= 1 - confidence."""
    delta = Fraction(delta)
    if confidence is None:
        return math.floor(delta * (n + 1))
    allowed = [k for k in range(1, n + 1) if binomial_cdf(k - 1, n, delta) <= 1 - Fraction(confidence)]
    return max(allowed, default=0)


def hoeffding_bentkus(mean, n, level):
    """min( exp(-n h1(min(r, a), a)), e P(Bin(n, a) <= ceil(n r)) ), losses in [0, 1]."""
    r, a = min(float(mean), float(level)), float(level)
    entropy = (r * math.log(r / a) if r else 0.0) + ((1 - r) * math.log((1 - r) / (1 - a)) if r < 1 else 0.0)
    tail = float(binomial_cdf(math.ceil(Fraction(mean) * n), n, Fraction(level)))
    return min(math.exp(-n * entropy), math.e * tail)


def mixture_wealth(losses, mean, bets, full=0):
    """mean_j prod_i [1 - rho_j (L_i - m) / (1 - m)], rho_j = j / (bets + 1); of the stake `full` lies on rho = 1."""
    total = 0.0
    for bet in range(1, bets + 1):
        share = bet / (bets + 1)
        total += math.prod(1 - share * (value - mean) / (1 - mean) for value in losses)
    return (1 - full) * total / bets + full * math.prod((1 - value) / (1 - mean) for value in losses)
