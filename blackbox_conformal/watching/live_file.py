"""Enters live pictures into a watch file, each once, with ranks and bets that may suspend the calibration."""

import json
import math
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from math import ceil, exp, floor, log
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.signature import SigningKey
from blackbox_conformal.method.audits.stream_evidence import (
    ANSWERS,
    STRANGENESS,
    answer_features,
    standardised,
    unexplained,
)
from blackbox_conformal.method.images.input_statistics import SIZE, STATISTICS, InputStatistics
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.support.wording import at_least
from blackbox_conformal.watching.concluding import current_state
from blackbox_conformal.watching.level import Level, rank_p_value, tie_of
from blackbox_conformal.watching.log import now
from blackbox_conformal.watching.records import Finding, Layer, Watched, insert
from blackbox_conformal.watching.watch_file import WatchFile, reading, watch_path

# Are masked pictures, whose truth is unknown, still like the calibration's? Inputs and answers are two questions.

INPUTS = tuple(statistic.name for statistic in STATISTICS if statistic.name != SIZE)
"""All statistics but the size, on which certificates have their own note."""

POWERS = (0.25, 0.5)  # Exponents e of the bets ``e p^(e-1)``, on small p-values and, with 1 - p, on large ones.
JUMP = 0.01  # Share of the capital that is spread over all bets again before each p-value.
_LEAST = 1e-12

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Wealth:
    """A martingale of one feature."""

    # Shares of the capital: not bet, then by bet; they add up to 1.
    shares: tuple[float, ...] = (1 / (1 + 2 * len(POWERS)),) * (1 + 2 * len(POWERS))
    # Logarithms of the capital now, and of its highest value ever.
    log_wealth: float = 0.0
    log_highest: float = 0.0

    def after(self, p_value: float) -> "Wealth":
        """Bet on a p-value, which is uniform on [0, 1] while nothing changed."""
        # An infinite gain would make the whole capital one bet that can never lose.
        small, large = max(p_value, _LEAST), max(1 - p_value, _LEAST)
        gains = np.array([1.0, *(e * p ** (e - 1) for p in (small, large) for e in POWERS)])
        # A little capital is spread again, so that an old bet cannot hold it all.
        capital = ((1 - JUMP) * np.array(self.shares) + JUMP / len(gains)) * gains
        total = float(capital.sum())
        log = self.log_wealth + math.log(total)
        # Shares and a logarithm never overflow.
        return Wealth(tuple((capital / total).tolist()), log, max(self.log_highest, log))


def log_wealth(p_values: Values) -> Values:
    """Return (n, k): the logarithm of each of k martingales after each of n pictures, as `Wealth.after` computes it.

    `p_values`: (n, k); NaN where a feature does not bet on a picture.
    """
    shares = np.full((p_values.shape[1], 1 + 2 * len(POWERS)), 1 / (1 + 2 * len(POWERS)))
    steps = np.zeros(p_values.shape)
    for step, row in zip(steps, p_values, strict=True):
        # A feature that a picture lacks leaves its bets alone.
        known = np.isfinite(row)
        p = row[known]
        ends = [np.maximum(p, _LEAST), np.maximum(1 - p, _LEAST)]
        gains = np.stack([np.ones(len(p)), *(e * end ** (e - 1) for end in ends for e in POWERS)], axis=1)
        capital = ((1 - JUMP) * shares[known] + JUMP / shares.shape[1]) * gains
        total = capital.sum(axis=1)
        shares[known], step[known] = capital / total[:, None], np.log(total)
    return np.asarray(steps.cumsum(axis=0))


def p_values(
    inputs: InputStatistics, answers: Answers, threshold: float, tie: Callable[[str], float], first: int = 0
) -> dict[str, float]:
    """Return the p-value of each feature of the last of n pictures among all n; small where it is among the largest.

    `inputs`, `answers`: (n,) each, the new picture last.
    `threshold`: Scores below it are trusted, in every picture.
    `tie`: Feature → its place among equals, uniform on [0, 1).
    `first`: The first answer to rank the new one among; inputs are ranked among all.
    Returns: Features of `INPUTS` and `ANSWERS`, without features of answers that the picture lacks.
    """
    found = {name: _place(inputs.column(name), tie(name)) for name in INPUTS}
    explaining = standardised(inputs.values[first:].astype(np.float64))
    for name, values in answer_features(answers, threshold).items():
        values = values[first:]
        known = np.isfinite(values)
        if known[-1]:
            found[name] = _place(unexplained(values[known], explaining[known]), tie(name))
    return found


def highest(wealth: Mapping[str, Wealth], names: tuple[str, ...]) -> tuple[str, float]:
    """Return the feature whose martingale ever rose highest, and the logarithm of that height."""
    # A martingale that ever reached the limit is an alarm for good.
    name = max(names, key=lambda name: wealth[name].log_highest if name in wealth else 0.0)
    return name, wealth[name].log_highest if name in wealth else 0.0


def _place(values: Values, tie: float) -> float:
    return rank_p_value(values[:-1].tolist(), float(values[-1]), tie)


# Findings about live pictures: whether inputs drifted, and whether answers show a changed vendor.

DOUBT = 0.05
"""If unchanged inputs would get this far with this probability, inputs may explain changed answers, and the vendor is
not blamed. This makes false alarms only rarer.
"""


def inputs_finding(wealth: Mapping[str, Wealth], level: Level) -> Finding:
    """Say whether inputs are still like the calibration's: no alarm, as the vendor cannot help its inputs."""
    if not wealth:
        return _nothing("inputs", level)
    name, logarithm = highest(wealth, INPUTS)
    needed = len(INPUTS) / level.inputs
    told = _told(logarithm, needed)
    if logarithm < log(needed):
        return Finding("inputs", "same", told, _figure(logarithm))
    statistic = next(one for one in STATISTICS if one.name == name)
    words = statistic.more if _larger(wealth[name]) else statistic.less
    drifted = f"the inputs drifted: those of the pictures that are masked are {words} than the calibration's"
    return Finding("inputs", "note", f"{drifted}; {told}", _figure(logarithm))


def answers_finding(wealth: Mapping[str, Wealth], level: Level) -> Finding:
    """Say whether answers, given their inputs, are still like the calibration's."""
    if not wealth:
        return _nothing("answers", level)
    names = _compared(wealth)
    name, logarithm = highest(wealth, names)
    needed = len(names) / level.answers
    told = _told(logarithm, needed)
    if logarithm < log(needed):
        return Finding("answers", "same", told, _figure(logarithm))
    which = "larger" if name in wealth and _larger(wealth[name]) else "smaller"
    moved = f"the {name} of answers is {which} than their inputs explain"
    # Inputs that changed so far may move answers, too, so the vendor is not blamed.
    if highest(wealth, INPUTS)[1] >= log(len(INPUTS) / DOUBT):
        unclear = "the inputs are other ones, too, so that it cannot be told whether the vendor changed; visit it"
        return Finding("answers", "note", f"{moved}; {unclear}; {told}", _figure(logarithm))
    return Finding("answers", "changed", f"{moved}; {told}", _figure(logarithm))


def _compared(begun: Collection[str]) -> tuple[str, ...]:
    """Return the features of answers in a watch with these, which may be an earlier version's."""
    return tuple(name for name in ANSWERS if name != STRANGENESS or name in begun)


def _nothing(layer: Layer, level: Level) -> Finding:
    why = "no picture was masked since the watch began" if level.live else "the watch was begun without this layer"
    return Finding(layer, "not watched", why)


def _larger(wealth: Wealth) -> bool:
    # Small p-values mean large values, so bets on small p-values win where values grow.
    return sum(wealth.shares[1 : 1 + len(POWERS)]) >= sum(wealth.shares[1 + len(POWERS) :])


def _told(logarithm: float, needed: float) -> str:
    # Above 700 the exponential no longer fits a float.
    figure = at_least(exp(logarithm)) if logarithm < 700 else f"10^{floor(logarithm / log(10))}"
    return f"evidence {figure} of the {ceil(needed)} that are an alarm"


def _figure(logarithm: float) -> float:
    return exp(min(logarithm, 700.0))


@dataclass(frozen=True, slots=True)
class LivePicture:
    """A masked picture: the digest of its input's pixels, and one row each of measurements."""

    input: str
    statistics: InputStatistics
    answers: Answers


@dataclass(frozen=True, slots=True)
class Known:
    """The calibration's n photographs, or those in a `group`: the beginning of every bag."""

    group: str | None
    statistics: InputStatistics
    answers: Answers


def enter(file: WatchFile, watch: Watched, known: Known, picture: LivePicture, threshold: float) -> bool:
    """Let a picture bet, in one transaction, and suspend the calibration if its answers show a changed vendor.

    `threshold`: Scores below it are trusted in the picture's mask.
    Returns: Whether the picture is new to the watch; a known one changes nothing.
    """
    with file.transaction() as connection:
        entered = connection.execute(
            # A known picture changes nothing.
            "INSERT OR IGNORE INTO live (watch, input, at, photographs_of, statistics, answers)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                watch.id,
                picture.input,
                now(),
                known.group,
                picture.statistics.to_bytes(),
                picture.answers.to_bytes(),
            ),
        )
        if not entered.rowcount:
            return False
        number = entered.lastrowid or 0
        bag = connection.execute(
            "SELECT statistics, answers FROM live WHERE watch = ? AND photographs_of IS ? ORDER BY id",
            (watch.id, known.group),
        ).fetchall()
        state = current_state(file, watch.calibration)
        with reading(file.path):
            statistics = InputStatistics.from_bytes(b"".join(row["statistics"] for row in bag))
            # Rows of an earlier version are shorter, so they are read by themselves.
            rows = (b"".join(same) for _, same in groupby((row["answers"] for row in bag), key=len))
            answers = Answers.together(map(Answers.from_bytes, rows))
        ranks = p_values(
            InputStatistics.together([known.statistics, statistics]),
            Answers.together([known.answers, answers]),
            threshold,
            # Ties come from the recorded seed, so that anybody can make the ranks again.
            lambda feature: tie_of(watch.seed, number, f"live {feature}"),
            # A vendor that was accepted after a change is compared with itself alone.
            len(known.answers) if state == "accepted" else 0,
        )
        wealth = wealth_of(file.path, connection, watch.id)
        if wealth and STRANGENESS not in wealth:
            # An earlier version began the watch, and the level is split among the features that it began with.
            ranks.pop(STRANGENESS, None)
        for name, p_value in ranks.items():
            bet = wealth[name] = wealth.get(name, Wealth()).after(p_value)
            insert(connection, "live_rank", live=number, feature=name, p_value=p_value)
            connection.execute(
                "INSERT OR REPLACE INTO live_wealth (watch, feature, shares, log_wealth, log_highest)"
                " VALUES (?, ?, ?, ?, ?)",
                (watch.id, name, json.dumps(bet.shares), bet.log_wealth, bet.log_highest),
            )
        file.record(connection, watch.calibration, "live", number)
        # In the same transaction: a change of the vendor suspends the calibration at once.
        found = answers_finding(wealth, Level(watch.level, watch.live))
        if found.verdict == "changed" and state not in ("suspended", "void"):
            file.enter(connection, watch.calibration, "suspended", f"answers: {found.statement}")
    return True


def live_findings(file: WatchFile, watch: Watched) -> tuple[Finding, Finding]:
    """Return the findings about inputs and answers of a watch's live pictures."""
    level = Level(watch.level, watch.live)
    with file.transaction() as connection:
        wealth = wealth_of(file.path, connection, watch.id)
    return inputs_finding(wealth, level), answers_finding(wealth, level)


@dataclass(frozen=True, slots=True)
class LiveEvidence:
    """The evidence after each live picture of a watch."""

    # Logarithm of the largest wealth of a feature's martingale.
    inputs: tuple[float, ...] = ()
    answers: tuple[float, ...] = ()
    # Logarithm of the wealth at which inputs have drifted, or answers are an alarm.
    inputs_alarm: float = math.inf
    answers_alarm: float = math.inf


def live_evidence(file: WatchFile, watch: Watched) -> LiveEvidence:
    """Compute the evidence of a watch's live pictures anew from their p-values."""
    with file.transaction() as connection:
        rows = connection.execute(
            "SELECT live, feature, p_value FROM live_rank JOIN live ON live.id = live_rank.live WHERE live.watch = ?"
            " ORDER BY live.id",
            (watch.id,),
        ).fetchall()
    if not rows:
        return LiveEvidence()
    features, places = (
        (*INPUTS, *ANSWERS),
        {live: place for place, live in enumerate(dict.fromkeys(row[0] for row in rows))},
    )
    ranks = np.full((len(places), len(features)), np.nan)
    for live, feature, p_value in rows:
        ranks[places[live], features.index(feature)] = p_value
    logs, level = log_wealth(ranks), Level(watch.level, watch.live)
    return LiveEvidence(
        tuple(logs[:, : len(INPUTS)].max(axis=1).tolist()),
        tuple(logs[:, len(INPUTS) :].max(axis=1).tolist()),
        math.log(len(INPUTS) / level.inputs),
        math.log(len(_compared({row[1] for row in rows})) / level.answers),
    )


def wealth_of(path: Path, connection: sqlite3.Connection, watch: int) -> dict[str, Wealth]:
    """Return feature → its martingale after all live pictures of a watch."""
    rows = connection.execute(
        "SELECT feature, shares, log_wealth, log_highest FROM live_wealth WHERE watch = ?", (watch,)
    ).fetchall()
    with reading(path):
        return {row[0]: Wealth(tuple(map(float, json.loads(row[1]))), float(row[2]), float(row[3])) for row in rows}


# Enters masked pictures into the calibration's watch, which may suspend the calibration. Costs nothing.


class LiveWatch:
    """A watch file while pictures are masked, and the photographs to rank them among."""

    def __init__(self, file: WatchFile, watch: Watched, calibration: Calibration, group: str | None):
        self._file, self._watch = file, watch
        # A picture of a cascade is ranked among pictures that ended at the same vendor.
        groups = calibration.groups if calibration.procedure.vendors_that_end else (group,)
        self._known = {}
        for one in groups:
            rows = [
                row
                for row, image in enumerate(calibration.images)
                if one in (None, image.group) and not np.isnan(calibration.inputs.values[row, 0])
            ]
            self._known[one] = Known(one, calibration.inputs[rows], calibration.watched_answers(rows))
        self._seen = {image.input for image in calibration.images}

    def enter(
        self,
        picture: Prepared,
        statistics: InputStatistics,
        answers: Answers,
        threshold: float,
        group: str | None = None,
    ) -> None:
        """Let a picture bet, if it is new and did not calibrate."""
        known = self._known.get(group)
        # A picture that calibrated is no test of the vendor.
        if known and picture.input_digest not in self._seen and not np.isnan(statistics.values).any():
            live = LivePicture(picture.input_digest, statistics, answers)
            enter(self._file, self._watch, known, live, threshold)


@contextmanager
def live_watch(
    path: Path | None, calibration: Calibration, group: str | None, key: SigningKey | None = None
) -> Iterator[LiveWatch | None]:
    """Open the watch beside the calibration's file for the ``with`` block; None: no watch takes live pictures.

    Entries are signed with the `key`.
    """
    # Tiles are more alike than photographs, so pictures cannot be ranked among them.
    tiled = any(image.cluster is not None for image in calibration.images)
    if path is None or not watch_path(path).exists() or tiled or not len(calibration.comparable_inputs(group)):
        yield None
        return
    with WatchFile(watch_path(path), key=key) as file:
        watch = file.current(calibration.digest)
        yield None if watch is None or not watch.live else LiveWatch(file, watch, calibration, group)
