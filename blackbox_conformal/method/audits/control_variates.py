"""Free losses as control variates, for an audit that buys the vendor's answers to a random part of its photographs.

Free pictures answer all photographs, so their losses say for nothing whether the bought part is harder or easier than
the rest (control variates; with predictions called prediction-powered inference, Angelopoulos et al. 2023). Two results
follow. They are kept apart, and neither is chosen after a look at the other:

*Bounds by betting, exact at any number of photographs.* Each bought photograph stands in a block with its share of the
others. From its loss the bets take a prediction's excess over the block's mean prediction. Coefficients come from
earlier blocks alone and the member that is bought is drawn at random, so the excess has a mean of 0 whatever the free
pictures are. Half the stake lies on these bets, half on the plain ones: useless free losses cost a factor of 2 at most.

*An estimate with a t interval, approximate.* Coefficients are fitted without the photograph that they correct, so the
estimate has no bias. Its interval is narrower, and holds as nearly as the t interval of a mean.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Self

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.method.audits.confidence import BETS, LEVEL, Betting
from blackbox_conformal.method.risk.betting import ROUNDING, bisect, growth, mixed, reaches
from blackbox_conformal.support.blocks import Block, How, Note, Table

LEAST = 8  # The least number of photographs to buy: fewer give no coefficients to speak of.

ROOM_ABOVE, ROOM_BELOW = 0.25, 0.5
"""How far a correction may reach: for the upper bound as a share of 1 - the claimed level, for the lower of the level.

More room follows the free losses farther and makes every bet smaller.
"""

Losses = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FreePictures:
    """The `losses` of one photograph's free pictures, (pictures, levels), under the calibrated masks."""

    name: str
    truth: str  # Digest of the photograph's pixels.
    losses: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class RandomPart:
    """A random part of photographs, whose answers were bought, and free pictures of all."""

    seed: int  # What fixed the order, with the photographs' pixels.
    names: tuple[str, ...]  # The free pictures.
    # The photographs in random order: the first were bought, as many as were measured.
    pictures: tuple[FreePictures, ...]
    # Whether free pictures narrow the interval of the verdicts; False for exact intervals and repeated looks.
    beside: bool = True

    @classmethod
    def of(
        cls, photographs: Sequence[tuple[str, str]], free: Mapping[str, Mapping[str, Sequence[float]]], seed: int
    ) -> Self:
        """Hold photographs, name and digest each, in random order; `free`: digest → free picture → losses."""
        pictures = tuple(
            FreePictures(name, truth, tuple(tuple(losses) for losses in free[truth].values()))
            for name, truth in photographs
        )
        return cls(seed, tuple(next(iter(free.values()))), pictures)

    def losses(self, level: int) -> Losses:
        """Return the losses of all photographs at a level, (N, pictures)."""
        return np.array([[at[level] for at in one.losses] for one in self.pictures], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class FreeEstimate:
    """The mean loss of all such photographs, estimated with free losses and from bought photographs alone."""

    # With free losses: estimate, standard error, and 90 % t interval.
    risk: float
    error: float
    interval: tuple[float, float]
    # The mean over bought photographs and its 90 % t interval.
    alone: float
    alone_interval: tuple[float, float]
    worth: int  # About how many bought photographs would give as small an error without free losses.

    def times(self, factor: float, less: float = 0.0) -> "FreeEstimate":
        """Return the estimate of `factor` times the mean, `less` a constant."""

        def moved(value: float) -> float:
            return factor * value - less

        low, high = map(moved, self.interval)
        alone_low, alone_high = map(moved, self.alone_interval)
        error = factor * self.error
        return FreeEstimate(
            moved(self.risk), error, (low, high), moved(self.alone), (alone_low, alone_high), self.worth
        )


@dataclass(frozen=True, eq=False)
class FreeLosses:
    """Losses of k free pictures of each photograph, in [0, 1].

    `bought`: (m, k), of the photographs that the vendor answered. `others`: (N - m, k). Rows are in the order that was
    drawn at random.
    """

    bought: Losses
    others: Losses

    def estimate(self, losses: Losses, bound: float = 1.0) -> FreeEstimate:
        """Estimate the mean loss from the (m,) losses of the bought photographs, each in [0, `bound`]."""
        m, n = len(self.bought), len(self.bought) + len(self.others)
        fits, unexplained = _left_out(self.bought, losses)
        excess = self.bought - self.others.mean(axis=0)
        # Of the whole excess only the share (N - m) / N is news, as the bought ones are among all.
        corrected = losses - (n - m) / n * np.einsum("ij,ij->i", excess, fits)
        whole = float(losses.var(ddof=1))
        variance, alone_variance = (m / n * whole + (n - m) / n * unexplained) / m, whole / m
        wide = _t_quantile(1 - LEVEL, m - 1)

        def around(mean: float, variance: float) -> tuple[float, float]:
            reach = wide * variance**0.5
            return max(0.0, mean - reach), min(bound, mean + reach)

        risk, alone = min(max(float(corrected.mean()), 0.0), bound), float(losses.mean())
        return FreeEstimate(
            risk=risk,
            error=variance**0.5,
            interval=around(risk, variance),
            alone=alone,
            alone_interval=around(alone, alone_variance),
            worth=m if variance == 0 else round(m * alone_variance / variance),
        )

    def difference(self, values: Losses, others: Losses) -> FreeEstimate:
        """Estimate the mean of the (m,) differences `values` - `others`, both in [0, 1]: -1 to 1."""
        # Moved into [0, 1], as an estimate expects them.
        return self.estimate((values - others + 1) / 2).times(2, less=1)

    def corrections(self, losses: Losses, room: float) -> Losses:
        """Return each bought photograph's correction, (m,), at least -`room` and 0 in the mean over drawing at random.

        It is the prediction's excess over the block's mean. The coefficients come from the blocks before.
        """
        m, found = len(self.bought), np.zeros(len(self.bought))
        for one in range(1, m):
            block = np.vstack([self.bought[one], self.others[one::m]])
            predicted = block @ coefficients(self.bought[:one], losses[:one])
            excess = predicted - predicted.mean()
            # The whole block is made smaller, whichever member was bought, so that the mean over members stays 0.
            found[one] = excess[0] * min(1.0, room / max(float(-excess.min()), 1e-300))
        return found


def coefficients(free: Losses, losses: Losses) -> Losses:
    """Fit (n,) losses by (n, k) free ones: ridge regression with a penalty of two photographs, (k,)."""
    centred = free - free.mean(axis=0)
    gram = centred.T @ centred
    k = len(gram)
    penalty = 2 * np.trace(gram) / (len(free) * k) + 1e-12
    fitted: Losses = np.linalg.solve(gram + penalty * np.eye(k), centred.T @ (losses - losses.mean()))
    return fitted


def _left_out(free: Losses, losses: Losses) -> tuple[Losses, float]:
    """Return coefficients fitted without each photograph, (m, k), and the variance that they leave unexplained."""
    m, fits, left = len(losses), np.empty(free.shape), np.empty(len(losses))
    for one in range(m):
        rest = np.arange(m) != one
        fits[one] = coefficients(free[rest], losses[rest])
        left[one] = losses[one] - losses[rest].mean() - (free[one] - free[rest].mean(axis=0)) @ fits[one]
    # A photograph that was left out is as far from the others' mean as m / (m - 1) of the variance.
    return fits, float(np.mean(left**2)) * (m - 1) / m


REACH, GIVEN = 0.05, 5  # How far a foretold interval reaches to each side, and photographs for each bought one.


@dataclass(frozen=True, slots=True)
class PaidForetold:
    """About how many photographs must be bought for a 90 % t interval of ± `REACH`, from losses of a few.

    `paid` with free pictures of `GIVEN` times as many, `alone` without; `source`: whose losses.
    """

    paid: int
    alone: int
    source: str

    @classmethod
    def of(cls, losses: Losses, free: Losses, source: str = "the pilot's losses") -> Self:
        """Foretell from the (m,) losses and (m, k) free losses of photographs that were bought."""
        whole, (_, unexplained) = float(losses.var(ddof=1)), _left_out(free, losses)

        def fewest(variance: float) -> int:
            m = LEAST
            while _t_quantile(1 - LEVEL, m - 1) * (variance / m) ** 0.5 > REACH:
                m += 1
            return m

        # Free pictures that explain nothing are left out.
        return cls(fewest(min(whole, (whole + (GIVEN - 1) * unexplained) / GIVEN)), fewest(whole), source)


@dataclass(frozen=True, eq=False)
class BettingBeside:
    """Bounds by betting on bought losses and, with half the stake, on corrected ones, against a claimed `level`.

    They hold for a number of photographs that was fixed beforehand.
    """

    plain: Betting
    free: FreeLosses
    level: float

    def upper(self, losses: Losses) -> float:
        return self._bound(self._above(losses))

    def lower(self, losses: Losses) -> float:
        found = 1.0 - self._bound(self._below(losses))
        # The difference from 1 leaves rounding of this size, which is no bound above 0.
        return found if found > 1e-12 else 0.0

    def p_above(self, losses: Losses, level: float) -> float:
        """Return the p-value of "the mean is at most `level`"."""
        return float(min(1.0, np.exp(ROUNDING - self._below(losses)(1.0 - max(level, 2.0**-52)))))

    def fewest(self, losses: Losses, level: float) -> None:
        """Return None: what free losses will add is not known beforehand."""

    def further(self, losses: Losses, level: float) -> int | None:
        """Estimate by the plain bounds how many more bought photographs settle the level."""
        return self.plain.further(losses, level)

    def _above(self, losses: Losses) -> "_Wealth":
        return _wealth(losses, self.free, ROOM_ABOVE * (1 - self.level), self.plain.above)

    def _below(self, losses: Losses) -> "_Wealth":
        return _wealth(1.0 - losses, self.free, ROOM_BELOW * self.level, self.plain.below)

    @staticmethod
    def _bound(wealth: "_Wealth") -> float:
        return bisect(lambda mean: reaches(wealth(mean), LEVEL), 0.0, 1.0)[1]


def _wealth(losses: Losses, free: FreeLosses, room: float, stake: Losses) -> "_Wealth":
    corrected = losses - free.corrections(losses, room)
    # Sorted, so that sums depend on the values alone.
    return _Wealth(np.sort(losses), np.sort(corrected) / (1 + room), room, stake)


@dataclass(frozen=True, eq=False)
class _Wealth:
    """The log of what plain and corrected bets are worth against a mean, half of the stake each.

    `corrected` are divided by their largest value, 1 + `room`. They may be below 0, where a bet only gains.
    """

    plain: Losses
    corrected: Losses
    room: float
    stake: Losses

    def __call__(self, mean: float) -> float:
        top = 1 + self.room
        logs = [growth(self.plain, mean, BETS).sum(axis=1), growth(self.corrected, mean / top, BETS).sum(axis=1)]
        return mixed(np.concatenate(logs), np.r_[self.stake / self.stake.sum(), np.full(BETS, 1 / BETS)])


def _t_quantile(share: float, freedom: int) -> float:
    """Return a quantile of Student's t, to three digits from 4 degrees of freedom on (Cornish and Fisher)."""
    z = NormalDist().inv_cdf(share)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


FIXED_NUMBER = (
    "The interval holds for the number of bought photographs, which must have been fixed before looking. An audit that "
    "buys more of them later counts the bought ones alone, by an interval that holds however often you look."
)


def part_block(part: RandomPart, bought: int, interval: str, besides: str = "") -> Note:
    """Say what was bought, what `besides`, and what the 90 % `interval` is."""
    return Note(
        f"{bought} of {len(part.pictures)} photographs, drawn at random (seed {part.seed}), were bought{besides}; all "
        f"have free pictures ({', '.join(part.names)}). The 90 % interval {interval}.",
        {"part": {"paid": bought, "given": len(part.pictures), **asdict(part)}},
    )


APPROXIMATE = (
    "These intervals are approximate, as t intervals are: with few photographs they miss somewhat more often than they "
    "say, and no verdict follows from them. Worth: about how many bought photographs would estimate as well without "
    "free pictures."
)

_COLUMNS: dict[str, How] = {
    "about 90 %": "{interval:between}",
    "bought alone": "{alone:.4f}",
    "about 90 %, alone": "{alone_interval:between}",
    "worth": "{worth}",
}


def estimate_blocks(part: RandomPart, bought: int, estimates: Mapping[float, FreeEstimate]) -> Iterator[Block]:
    """Say what was bought and what free pictures add, with the estimate at each level."""
    interval = (
        "uses both, and holds for this number of bought photographs"
        if part.beside
        else "above is of the bought ones alone"
    )
    yield part_block(part, bought, interval)
    columns: dict[str, How] = {"alpha": "{alpha:g}", "risk": "{risk:.4f}", **_COLUMNS}
    rows = [{"alpha": alpha, **asdict(estimate)} for alpha, estimate in estimates.items()]
    yield Table("estimates", columns, rows, title="The risk estimated with free pictures")
    yield Note(APPROXIMATE, detail=True)
