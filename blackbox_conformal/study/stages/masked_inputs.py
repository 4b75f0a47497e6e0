"""Enter each picture masked in a run folder once, and compare blocks of them with the calibration's."""

import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import StreamCheck
from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.method.audits.input_shift import LEVEL, compare
from blackbox_conformal.method.audits.stream_evidence import ALARM, answers_test, enough, evidence
from blackbox_conformal.method.images.input_statistics import InputStatistics
from blackbox_conformal.method.risk.answers import Answers
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.support.files import require_writable

FILE = "masked-pictures.sqlite"

BEGINS_ANEW = 1000
"""Pictures after which a new stream begins, since comparing more pictures with each other takes time."""

_BUSY_S = 60.0
_Row = tuple[int, bytes, bytes | None, int | None]
_SCHEMA = """
CREATE TABLE IF NOT EXISTS picture (
    id INTEGER PRIMARY KEY, of TEXT, input TEXT, statistics BLOB, answers BLOB, ended TEXT, block INTEGER,
    answered INTEGER, verdict TEXT, UNIQUE (of, input));
CREATE TABLE IF NOT EXISTS look (
    id INTEGER PRIMARY KEY, of TEXT, stream INTEGER, kind TEXT, pictures INTEGER, p_value REAL, found TEXT);
"""


@dataclass(frozen=True, slots=True)
class MaskedInputs:
    """The stream, in a run folder, of a calibration or of one group of its photographs.

    An alarm ends a stream, and the next begins. Masks are marked until a look finds nothing; marks stay.
    """

    folder: Path
    calibration: Calibration
    group: str | None

    def enter(self, pictures: Sequence[Prepared]) -> dict[str, StreamCheck]:
        """Enter inputs, each once, before anything is paid; return each one's check by digest."""
        known = self.calibration.comparable_inputs(self.group)
        if not self._ranked:
            check = StreamCheck(n=len(known), pictures=0, evidence=0.0)
            return {picture.input_digest: check for picture in pictures}
        with self._open() as connection:
            together = 0
            for picture in pictures:
                together += connection.execute(
                    "INSERT OR IGNORE INTO picture (of, input, statistics) VALUES (?, ?, ?)",
                    (self._of, picture.input_digest, picture.statistics.to_bytes()),
                ).rowcount
            self._look(connection, "inputs", together)
            return self._checks(connection, [picture.input_digest for picture in pictures])

    def answered(self, answers: Mapping[str, Answers], threshold: float, ended: str | None = None) -> dict[str, str]:
        """Enter answers by their inputs' digests, each once; return why the guarantee does not hold for some.

        `threshold`: Scores below it are trusted.
        `ended`: The group of photographs that the answers belong to, if not the inputs' own: the same vendor's group.
        """
        if not self._ranked or not answers:
            return {}
        with self._open() as connection:
            together = 0
            for digest, answer in answers.items():
                together += connection.execute(
                    "UPDATE picture SET answers = ?, ended = ? WHERE of = ? AND input = ? AND answers IS NULL",
                    (answer.to_bytes(), ended, self._of, digest),
                ).rowcount
            before = self._checks(connection, list(answers))
            self._look(connection, "answers", together, threshold, ended)
            checks = self._checks(connection, list(answers))
        return {digest: check.found for digest, check in checks.items() if check.found and not before[digest].found}

    @property
    def _ranked(self) -> bool:
        # A tile is more like another tile than two photographs are.
        tiled = any(image.cluster is not None for image in self.calibration.images)
        return not tiled and len(self.calibration.comparable_inputs(self.group)) > 0

    @property
    def _of(self) -> str:
        return self.calibration.digest if self.group is None else f"{self.calibration.digest} {self.group}"

    def _look(
        self,
        connection: sqlite3.Connection,
        kind: str,
        together: int,
        threshold: float = math.nan,
        ended: str | None = None,
    ) -> None:
        """Compare waiting pictures, if enough wait, with all earlier ones; mark them after an alarm."""
        stream, looks = self._stream(connection)
        column = "block" if kind == "inputs" else "answered"
        rows = connection.execute(
            f"SELECT id, statistics, answers, {column} FROM picture WHERE of = ? AND ({column} IS NULL OR {column} IN"
            " (SELECT id FROM look WHERE of = ? AND stream = ?))"
            # Inputs that raised the alarm, or that wait, make their answers say nothing about the vendor.
            " AND (? = 'inputs' OR (answers IS NOT NULL AND ended IS ? AND block IN"
            " (SELECT id FROM look WHERE found IS NULL))) ORDER BY id",
            (self._of, self._of, stream, kind, ended),
        ).fetchall()
        waiting, before = [row for row in rows if row[3] is None], [row for row in rows if row[3] is not None]
        if not enough(len(waiting), together, len(before)):
            return
        calibration, group, (statistics, answers) = self.calibration, ended or self.group, _read(before)
        own = [
            row
            for row, image in enumerate(calibration.images)
            if group in (None, image.group) and not np.isnan(calibration.inputs.values[row, 0])
        ]
        known = (
            InputStatistics.together([calibration.inputs[own], statistics]),
            Answers.together([calibration.watched_answers(own), answers]),
        )
        new = _read(waiting)
        number = 1 + len(looks)
        if kind == "inputs":
            shift = compare(known[0], new[0], seed=number)
            telling = [movement for movement in shift.movements if movement.matters]
            p_value = min((movement.p_value for movement in telling), default=1.0)
            said = "; ".join(one.sentence for one in telling if one.p_value <= max(LEVEL, p_value))
        else:
            p_value, said = answers_test(known, new, threshold, number)
            said += "; the vendor or the kind of picture has changed"
        strength = _evidence([*looks, (kind, p_value)])
        # After an alarm a doubt is enough, so that wrong pictures do not join the pictures to compare with.
        feared = self._feared(connection, kind)
        found = feared if p_value <= LEVEL else None
        if strength >= ALARM:
            n = len(self.calibration.comparable_inputs(self.group))
            found = (
                f"the guarantee is for pictures like the calibration's {n}, and {len(waiting)} that were masked in "
                f"this run folder are of another kind: {said} (p = {p_value:.2g}; evidence {min(strength, 1e9):.0f} of "
                f"the {ALARM:.0f} that 5 % of streams of right pictures ever reach). Mask other kinds of pictures with "
                "another --run"
            )
        look = connection.execute(
            "INSERT INTO look (of, stream, kind, pictures, p_value, found) VALUES (?, ?, ?, ?, ?, ?)",
            (self._of, stream, kind, len(waiting), p_value, found),
        ).lastrowid
        ids = [(look, row[0]) for row in waiting]
        connection.executemany(f"UPDATE picture SET {column} = ? WHERE id = ?", ids)
        if found is not None:
            verdicts = [(found, row[0]) for row in waiting]
            connection.executemany("UPDATE picture SET verdict = ? WHERE id = ? AND verdict IS NULL", verdicts)

    def _stream(self, connection: sqlite3.Connection) -> tuple[int, list[tuple[str, float]]]:
        rows = connection.execute(
            "SELECT stream, kind, p_value, found, pictures FROM look WHERE of = ? AND stream ="
            " (SELECT max(stream) FROM look WHERE of = ?) ORDER BY id",
            (self._of, self._of),
        ).fetchall()
        stream = rows[-1][0] if rows else 1
        ended = any(row[3] is not None for row in rows) or sum(row[4] for row in rows) >= 2 * BEGINS_ANEW
        return (stream + 1, []) if ended else (stream, [(row[1], row[2]) for row in rows])

    def _checks(self, connection: sqlite3.Connection, digests: Sequence[str]) -> dict[str, StreamCheck]:
        looks = self._stream(connection)[1]
        (entered,) = connection.execute("SELECT count(*) FROM picture WHERE of = ?", (self._of,)).fetchone()
        n = len(self.calibration.comparable_inputs(self.group))
        feared = {kind: self._feared(connection, kind) for kind in ("inputs", "answers")}
        checks = {}
        for digest in digests:
            where = (self._of, digest)
            verdict, block, answered = connection.execute(
                "SELECT verdict, block, answered FROM picture WHERE of = ? AND input = ?", where
            ).fetchone()
            fear = (feared["inputs"] if block is None else None) or (feared["answers"] if answered is None else None)
            if verdict is None and fear is not None:
                # A certificate says so now, and another certificate of the same input must say no better.
                verdict = fear
                connection.execute("UPDATE picture SET verdict = ? WHERE of = ? AND input = ?", (verdict, *where))
            checks[digest] = StreamCheck(n=n, pictures=entered, evidence=_evidence(looks), found=verdict)
        return checks

    def _feared(self, connection: sqlite3.Connection, kind: str) -> str | None:
        row = connection.execute(
            "SELECT found FROM look WHERE of = ? AND kind = ? AND (found IS NOT NULL OR p_value > ?)"
            " ORDER BY id DESC LIMIT 1",
            (self._of, kind, LEVEL),
        ).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        require_writable(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / FILE
        try:
            with closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    connection.execute(statement)
                yield connection
                connection.execute("COMMIT")
        except (sqlite3.Error, ValueError) as error:
            raise FileFormatError(
                f"{path}: expected the pictures that were masked before; {error}. Whether they are like the "
                "calibration's cannot be told: restore a copy, or name another --run"
            ) from None


def _evidence(looks: Sequence[tuple[str, float]]) -> float:
    return evidence(*([p_value for name, p_value in looks if name == kind] for kind in ("inputs", "answers")))


def _read(rows: Sequence[_Row]) -> tuple[InputStatistics, Answers]:
    answers = [Answers.unknown(1) if row[2] is None else Answers.from_bytes(row[2]) for row in rows]
    return InputStatistics.from_bytes(b"".join(row[1] for row in rows)), Answers.together(answers)
