"""Live pictures in a watch file: each is entered once, with its ranks and bets, and may suspend the calibration."""

import json
import math
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from blackbox_conformal.method.images.input_statistics.statistics import InputStatistics
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.watching.concluding import current_state
from blackbox_conformal.watching.level import Level
from blackbox_conformal.watching.live import ANSWERS, INPUTS, Wealth, log_wealth, p_values
from blackbox_conformal.watching.live_findings import answers_finding, inputs_finding
from blackbox_conformal.watching.log import now
from blackbox_conformal.watching.ranks import tie_of
from blackbox_conformal.watching.records import Watched, insert
from blackbox_conformal.watching.watch_file import WatchFile, reading
from blackbox_conformal.watching.watch_findings import Finding


@dataclass(frozen=True, slots=True)
class LivePicture:
    """A picture that was masked: the digest of its input's pixels, and one row each of what was measured."""

    input: str
    statistics: InputStatistics
    answers: Answers


@dataclass(frozen=True, slots=True)
class Known:
    """The calibration's own photographs, n of them, or those of one `group`: the beginning of every bag."""

    group: str | None
    statistics: InputStatistics
    answers: Answers


def enter(file: WatchFile, watch: Watched, known: Known, picture: LivePicture, threshold: float) -> bool:
    """Let a picture bet, in one transaction, and suspend the calibration where its answers say that the vendor changed.

    Parameters
    ----------
    threshold
        Scores below it are trusted in the picture's mask.

    Returns
    -------
    Whether it is new to the watch; one that was entered before changes nothing.
    """
    with file.transaction() as connection:
        entered = connection.execute(
            # A picture that was entered before changes nothing, so the transaction ends here.
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
        ranks = p_values(
            *_together(file.path, known, bag),
            threshold,
            # The tie comes from the recorded seed, so that anybody can make the ranks again.
            lambda feature: tie_of(watch.seed, number, f"live {feature}"),
            # A vendor that was accepted after a change is compared with itself alone.
            len(known.answers) if state == "accepted" else 0,
        )
        wealth = wealth_of(file.path, connection, watch.id)
        for name, p_value in ranks.items():
            wealth[name] = wealth.get(name, Wealth()).after(p_value)
            insert(connection, "live_rank", live=number, feature=name, p_value=p_value)
            _keep(connection, watch.id, name, wealth[name])
        file.record(connection, watch.calibration, "live", number)
        # In the same transaction: a change of the vendor suspends the calibration at once.
        found = answers_finding(wealth, Level(watch.level, watch.live))
        if found.verdict == "changed" and state not in ("suspended", "void"):
            file.enter(connection, watch.calibration, "suspended", f"answers: {found.statement}")
    return True


def inputs_before(
    file: WatchFile, calibration: str, groups: Collection[str | None], without: Collection[str], most: int
) -> InputStatistics:
    """The inputs that were entered last by any watch of a calibration, at most so many, each once.

    Parameters
    ----------
    groups
        Of the photographs that they were ranked among; None: all.
    without
        Digests of inputs that do not count.

    Raises
    ------
    FileFormatError
        The file is damaged.
    """
    with file.transaction() as connection:
        rows = connection.execute(
            "SELECT statistics, max(live.id) AS last FROM live JOIN watch ON watch.id = live.watch"
            # One row of each input, the last of them, so that masking a picture twice counts once.
            f" WHERE calibration = ? AND ({' OR '.join(['photographs_of IS ?'] * len(groups))})"
            f" AND input NOT IN ({', '.join('?' * len(without))})"
            " GROUP BY input ORDER BY last DESC LIMIT ?",
            (calibration, *groups, *without, most),
        ).fetchall()
    with reading(file.path):
        return InputStatistics.from_bytes(b"".join(row["statistics"] for row in rows))


def count_of_pictures(file: WatchFile, watch: Watched) -> int:
    """How many pictures entered a watch."""
    with file.transaction() as connection:
        return int(connection.execute("SELECT count(*) FROM live WHERE watch = ?", (watch.id,)).fetchone()[0])


def live_findings(file: WatchFile, watch: Watched) -> tuple[Finding, Finding]:
    """What the live pictures of a watch come to: their inputs, and their answers."""
    level = Level(watch.level, watch.live)
    with file.transaction() as connection:
        wealth = wealth_of(file.path, connection, watch.id)
    return inputs_finding(wealth, level), answers_finding(wealth, level)


@dataclass(frozen=True, slots=True)
class LiveEvidence:
    """The evidence after each live picture of a watch.

    Attributes
    ----------
    inputs, answers
        Logarithm of the largest wealth of a feature's martingale.
    inputs_alarm, answers_alarm
        Logarithm of the wealth at which inputs are said to have drifted, and at which answers are an alarm.
    """

    inputs: tuple[float, ...] = ()
    answers: tuple[float, ...] = ()
    inputs_alarm: float = math.inf
    answers_alarm: float = math.inf


def live_evidence(file: WatchFile, watch: Watched) -> LiveEvidence:
    """The evidence of the pictures that were masked since a watch began, calculated anew from their p-values."""
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
        math.log(len(ANSWERS) / level.answers),
    )


def wealth_of(path: Path, connection: sqlite3.Connection, watch: int) -> dict[str, Wealth]:
    """Feature → its martingale after all live pictures of a watch; none before the first.

    Raises
    ------
    FileFormatError
        The watch file at `path`, to which the connection is, is damaged.
    """
    rows = connection.execute(
        "SELECT feature, shares, log_wealth, log_highest FROM live_wealth WHERE watch = ?", (watch,)
    ).fetchall()
    with reading(path):
        return {row[0]: Wealth(tuple(map(float, json.loads(row[1]))), float(row[2]), float(row[3])) for row in rows}


def _together(path: Path, known: Known, bag: list[sqlite3.Row]) -> tuple[InputStatistics, Answers]:
    """The calibration's photographs and the live pictures, in order."""
    with reading(path):
        statistics = InputStatistics.from_bytes(b"".join(row["statistics"] for row in bag))
        # Rows of an earlier version are shorter, and are read by themselves.
        rows = (b"".join(same) for _, same in groupby((row["answers"] for row in bag), key=len))
        answers = Answers.together(map(Answers.from_bytes, rows))
    return InputStatistics.together([known.statistics, statistics]), Answers.together([known.answers, answers])


def _keep(connection: sqlite3.Connection, watch: int, name: str, wealth: Wealth) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO live_wealth (watch, feature, shares, log_wealth, log_highest) VALUES (?, ?, ?, ?, ?)",
        (watch, name, json.dumps(wealth.shares), wealth.log_wealth, wealth.log_highest),
    )
