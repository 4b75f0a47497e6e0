"""An audit photograph by photograph: in which order, how many at a time, and when to stop."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.method.audits.findings import AuditedPicture
from blackbox_conformal.method.audits.hypothesis import claim
from blackbox_conformal.method.audits.sequential import AuditLook, AuditStop, LevelTest, Reason, level_test
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.study.job import Job
from blackbox_conformal.study.stages.prepare import Prepared


class PhotographTurns:
    """Whose turn it is: photographs in an order that no result changes, the tiles of one photograph together.

    Photographs whose draws are stored come first, since nothing is paid for them: an audit that is resumed, or that
    gets more photographs, goes on where it ended. The others follow in the order of the digests of their pixels.

    Parameters
    ----------
    tiles
        Picture's name → photograph that it is a tile of; None: each is a photograph of its own.
    """

    def __init__(self, job: Job, tiles: Mapping[str, str] | None) -> None:
        units: dict[str, list[Prepared]] = {}
        for picture in sorted(job.pictures, key=_digest):
            units.setdefault(picture.input_digest if tiles is None else tiles[picture.name], []).append(picture)
        stored = job.answered_pictures()
        self._stored: list[list[Prepared]] = []
        self._waiting: list[list[Prepared]] = []
        for unit in units.values():
            free = stored.issuperset(picture.input_digest for picture in unit)
            (self._stored if free else self._waiting).append(unit)
        draws = job.setup.procedure.draws
        self._at_once = math.ceil(job.limits.for_vendor(job.setup.adapter.capabilities).first_workers / draws)
        self.given = len(units)

    def batches(self, stopping: "Stopping") -> Iterator[list[Prepared]]:
        """The photographs to draw next, until `stopping` has looked at enough or none is left.

        A batch holds as many photographs as the audit needs at the very least, whatever they show, or as many as are
        drawn at once, where that is more.
        """
        if self._stored:
            yield [picture for unit in self._stored for picture in unit]
        while self._waiting and stopping.reason is None:
            count = max(self._at_once, stopping.needed(len(self._waiting)))
            batch, self._waiting = self._waiting[:count], self._waiting[count:]
            yield [picture for unit in batch for picture in unit]


class Stopping:
    """Looks at the photographs audited so far, and says when there are enough.

    Parameters
    ----------
    tiles
        As for `PhotographTurns`.
    """

    def __init__(
        self, calibration: Calibration, rule: Guarantee, levels: Sequence[float], tiles: Mapping[str, str] | None
    ) -> None:
        curves = calibration.curves_for(rule)
        self._rule, self._levels, self._tiles = rule, levels, tiles
        self._bound = calibration.bound_for(rule)
        self._thresholds = [rule.threshold(curves, alpha) for alpha in levels]
        self._reasons = [rule.choose(curves, alpha).reason for alpha in levels]
        units = rule.unit_curves(curves)
        self._scale = self._bound
        self._tests: list[LevelTest] = []
        for alpha, threshold in zip(levels, self._thresholds, strict=True):
            known = claim(units.rule, units.curves.losses_at(threshold), alpha, self._bound)
            self._scale = known.bound
            self._tests.append(level_test(known, alike=units.rule.treats_photographs_alike, levels=len(levels)))
        self._losses: list[NDArray[np.float64]] = [np.zeros(0) for _ in levels]
        self._looks: list[AuditLook] = []
        self.reason: Reason | None = None

    def needed(self, most: int) -> int:
        """How many more photographs are needed at the very least to stop, whatever they show; from 1 to `most`."""
        at_levels = zip(self._tests, self._losses, self._thresholds, strict=True)
        trusting = [(test, losses) for test, losses, threshold in at_levels if threshold > -math.inf]
        if not trusting or self._rule.bound_source != "metric":
            # A picture's own bound that proves wrong ends the audit at any time.
            return 1
        confirming = max(test.fewest_to_confirm(losses, most) for test, losses in trusting)
        against = min(test.fewest_against(losses, most) for test, losses in trusting)
        return max(1, min(confirming, against, most))

    def look(self, audited: Sequence[AuditedPicture]) -> None:
        """Look at all photographs audited so far."""
        table = np.array([picture.losses for picture in audited], dtype=np.float64)
        shown = np.array([picture.shares for picture in audited]) > 0
        names = None if self._tiles is None else [self._tiles[picture.name] for picture in audited]
        claims = [claim(self._rule, table[:, index], alpha, self._bound, names) for index, alpha in self._numbered]
        self._losses = [claimed.losses / self._scale for claimed in claims]
        bounds = tuple(test.bound(losses) * self._scale for test, losses in zip(self._tests, self._losses, strict=True))
        self._looks.append(AuditLook(len(self._losses[0]), bounds))
        confirmed = []
        for index, _ in self._numbered:
            empty = not (shown[:, index] | (table[:, index] > 0)).any()
            if self._thresholds[index] > -math.inf or not empty:
                tested = self._reasons[index] is None or not empty
                confirmed.append(tested and bounds[index] <= claims[index].level)
        against = any(p <= test.share for p, test in zip(self._p_against, self._tests, strict=True))
        if against or any(picture.broken_bound for picture in audited):
            self.reason = "contradicted"
        elif confirmed and all(confirmed):
            self.reason = "confirmed"

    @property
    def _numbered(self) -> list[tuple[int, float]]:
        return list(enumerate(self._levels))

    @property
    def _p_against(self) -> tuple[float, ...]:
        return tuple(test.p_against(losses) for test, losses in zip(self._tests, self._losses, strict=True))

    def stop(self, given: int) -> AuditStop:
        """How it went, after the last look; `given`: how many photographs there were."""
        looks = tuple(self._looks)
        early = looks[-1].units < given
        return AuditStop(given, looks, self.reason if early else None, self._p_against, self._tests[0].share)


def _digest(picture: Prepared) -> str:
    assert picture.truth_digest is not None
    return picture.truth_digest
