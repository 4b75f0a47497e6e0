"""One calibration of a session: masks one picture after the other, from any thread."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from blackbox_conformal.errors import BlackboxConformalError
from blackbox_conformal.occupancy import Occupancy
from blackbox_conformal.pipeline.batch_drift import BatchDrift
from blackbox_conformal.pipeline.job import Terms
from blackbox_conformal.pipeline.masked_stream import Found
from blackbox_conformal.pipeline.masking import MaskRequest, Receiver, mask_pictures, with_note
from blackbox_conformal.pipeline.stages.memory import Room, size_by_header
from blackbox_conformal.pipeline.stages.prepare import Input, Prepared, prepare_inputs
from blackbox_conformal.pipeline.stages.second_vendor import second_tasks
from blackbox_conformal.pipeline.stages.settings import Setup
from blackbox_conformal.sampling.admission import Admission


@dataclass(frozen=True, slots=True)
class Turns:
    """Which pictures of a session may be read and drawn: equal ones one after the other, with room for all draws."""

    admission: Admission
    reading: Room
    under_way: Occupancy[str] = field(default_factory=Occupancy)

    def reads(self, source: Path | bytes) -> AbstractContextManager[None]:
        """Room in memory to read a picture, in the ``with`` block: a file of a few kB may hold a hundred megapixels."""
        width, height = size_by_header(source)
        return self.reading.taken((height, width))


class PictureMasker:
    """What masks the pictures of a session by one calibration.

    Parameters
    ----------
    terms
        Those of the session, with what its pictures share.
    on_drift
        See `Session`.
    """

    def __init__(
        self, terms: Terms, setup: Setup, request: MaskRequest, turns: Turns, on_drift: Callable[[str], None]
    ) -> None:
        self.setup = setup
        self._terms, self._request, self._turns = terms, request, turns
        self._drift = BatchDrift(request, on_drift)

    def unlike(self, named: Input) -> str | None:
        """Why the calibration does not speak of a picture; errors as for `Session.unlike`."""
        request = self._request.now()
        check = request.check(self._prepared(named, request))
        return None if check is None else check.reason

    def masked(self, named: Input) -> Found:
        """What becomes of a picture; raises what concerns every picture."""
        request, failures = self._request.now(), dict[int, BlackboxConformalError]()
        try:
            prepared = self._prepared(named, request)
        except BlackboxConformalError as error:
            return error
        receiver = Receiver(
            on_failure=failures.__setitem__,
            on_drift=self._drift.tell,
            on_answers=self._drift.add_answers,
            on_watch=self._drift.tell,
        )
        note = self._drift.note
        key = prepared.input_digest
        # Who asks for an equal picture at the same time waits, and finds what the first one paid.
        with (
            self._turns.under_way.taken(key, lambda keys: key not in keys),
            self._turns.admission.room(*self._to_buy(prepared)),
        ):
            results = mask_pictures(self._terms, self.setup, [named], {0: prepared}, request, receiver)
        if failures:
            return failures[0]
        return results[0] if note is None else with_note(results[0], note)

    def _prepared(self, named: Input, request: MaskRequest) -> Prepared:
        """The picture of an input; raises what is wrong with it."""
        failures = dict[int, BlackboxConformalError]()
        memory_bytes = self._terms.memory_bytes
        with self._turns.reads(named[1]):
            prepared = prepare_inputs([named], self.setup, request.calibration, failures, memory_bytes=memory_bytes)
        if failures:
            raise failures[0]
        return prepared[0]

    def _to_buy(self, picture: Prepared) -> tuple[int, int]:
        """Nano-dollars that the missing draws of a picture cost at most, and how many they are."""
        shared, seconds = self._terms.shared, list(second_tasks(self.setup, [picture]).values())
        parts = [
            vendor.to_buy(tasks)
            for vendor, tasks in ((shared.first, picture.tasks), (shared.second, seconds))
            if vendor is not None
        ]
        return sum(price for price, _ in parts), sum(calls for _, calls in parts)
