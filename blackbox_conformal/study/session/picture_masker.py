"""One calibration of a session: masks one picture after the other, from any thread."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from blackbox_conformal.drawing.ledger.money import NOBODY, Payer
from blackbox_conformal.drawing.open_run import AnyRun, OpenCascade
from blackbox_conformal.drawing.spending.reservations import Admission
from blackbox_conformal.drawing.work_item import ToBuy
from blackbox_conformal.errors import BlackboxConformalError
from blackbox_conformal.study.job import Terms
from blackbox_conformal.study.mask.mask_request import MaskRequest
from blackbox_conformal.study.mask.masking import Receiver, mask_pictures
from blackbox_conformal.study.session.masked_stream import Found
from blackbox_conformal.study.stages.certify import format_reason
from blackbox_conformal.study.stages.memory import Room, size_by_header
from blackbox_conformal.study.stages.prepare import Input, Prepared, prepare_inputs
from blackbox_conformal.study.stages.second_vendor import second_tasks
from blackbox_conformal.study.stages.settings import Setup
from blackbox_conformal.support.occupancy import Occupancy


@dataclass(frozen=True, slots=True)
class Turns:
    """Which pictures of a session may be read and drawn.

    Equal ones are drawn one after the other, and each only with room for all its draws. None is while the vendor gives
    nothing usable.
    """

    admission: Admission
    reading: Room
    under_way: Occupancy[str] = field(default_factory=Occupancy)

    def reads(self, source: Path | bytes) -> AbstractContextManager[None]:
        """Room in memory to read a picture, in the ``with`` block: a file of a few kB may hold a hundred megapixels."""
        width, height = size_by_header(source)
        return self.reading.taken((height, width))

    @contextmanager
    def taken(
        self, picture: Prepared, to_buy: Callable[[], ToBuy], vendor: AnyRun | None, payer: Payer
    ) -> Iterator[Callable[[], None]]:
        """Draw a picture in the ``with`` block; gives what is called once it has its answer.

        A request for an equal picture at the same time waits, and finds what the first one paid. `vendor`: None
        where draws come from this machine's disk.
        """
        key = picture.input_digest
        with self.under_way.taken(key, lambda keys: key not in keys), ExitStack() as stack:
            price, calls = to_buy()
            outage = None if vendor is None else vendor.outage
            answered = (lambda: None) if outage is None else stack.enter_context(outage.kept_from(calls))
            stack.enter_context(self.admission.room(price, calls, payer))
            yield answered


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
        self._on_drift = on_drift
        self.fallbacks: Counter[str] = Counter()

    def unlike(self, named: Input) -> str | None:
        """Why the calibration does not speak of a picture; errors as for `Session.unlike`."""
        request = self._request.now()
        picture = self._prepared(named, request)
        check = request.check(picture)
        reason = format_reason(request.calibration.procedure, picture.file_format)
        return reason if reason is not None or check is None else check.reason

    def masked(self, named: Input, payer: Payer = NOBODY) -> Found:
        """What becomes of a picture; raises what concerns every picture."""
        request, failures = self._request.now(), dict[int, BlackboxConformalError]()
        try:
            prepared = self._prepared(named, request)
        except BlackboxConformalError as error:
            return error
        receiver = Receiver(
            on_failure=failures.__setitem__,
            on_drift=lambda found: self._on_drift(found[0]),
            on_watch=self._on_drift,
            on_fell_back=lambda why: self.fallbacks.update([why.kind]),
        )
        terms = replace(self._terms, limits=replace(self._terms.limits, payer=payer))
        to_buy = partial(self._to_buy, prepared, payer)
        with self._turns.taken(prepared, to_buy, terms.shared.first, payer) as answered:
            results = mask_pictures(terms, self.setup, [named], {0: prepared}, request, receiver)
            if results:
                answered()
        if failures:
            return failures[0]
        return results[0]

    def _prepared(self, named: Input, request: MaskRequest) -> Prepared:
        """The picture of an input; raises what is wrong with it."""
        failures = dict[int, BlackboxConformalError]()
        memory_bytes = self._terms.memory_bytes
        with self._turns.reads(named[1]):
            prepared = prepare_inputs([named], self.setup, request.calibration, failures, memory_bytes=memory_bytes)
        if failures:
            raise failures[0]
        return prepared[0]

    def _to_buy(self, picture: Prepared, payer: Payer) -> ToBuy:
        """What the missing draws of a picture take."""
        if self._request.fallback is not None and isinstance(self._terms.shared.first, OpenCascade):
            # Only what is sure to be wanted has to have room: where the rest has none, there is a fallback.
            return self._terms.shared.first.members_to_buy(picture.tasks, payer)[0]
        shared, seconds = self._terms.shared, list(second_tasks(self.setup, [picture]).values())
        parts = [
            vendor.to_buy(tasks, payer)
            for vendor, tasks in ((shared.first, picture.tasks), (shared.second, seconds))
            if vendor is not None
        ]
        return ToBuy.together(parts)
