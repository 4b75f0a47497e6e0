"""Every error that a user can meet. Classes of a vendor's failure have letters, by which the ledger names them."""

from collections.abc import Sequence


class BlackboxConformalError(Exception):
    """Base of every error raised on purpose; `exit_code` is what the command line returns."""

    exit_code = 2


class UsageError(BlackboxConformalError, ValueError):
    """An option, parameter or name that cannot be used."""


class CredentialMissingError(UsageError):
    """The environment holds no key for the vendor."""


class MissingPackageError(UsageError, ImportError):
    """A package that is not installed, although the request needs it."""


class ImageError(BlackboxConformalError, ValueError):
    """A picture that is damaged, hostile or of a kind without a stated conversion."""


class PicturesError(ImageError):
    """Several pictures that cannot be used; `failures` holds the name and the error of each."""

    def __init__(self, message: str, failures: Sequence[tuple[str, BlackboxConformalError]] = ()) -> None:
        super().__init__(message)
        self.failures = tuple(failures)


class MapError(BlackboxConformalError, ValueError):
    """A map with NaN, a wrong shape, or a value outside its declared range."""


class CalibrationError(BlackboxConformalError, ValueError):
    """Images or curves that cannot carry the requested calibration."""


class FileFormatError(BlackboxConformalError, ValueError):
    """A file of ours that is damaged, foreign, newer than this version, or hostile."""


class ProcedureMismatchError(BlackboxConformalError, ValueError):
    """A calibration that was made for another procedure; the message names each difference."""


class PluginError(BlackboxConformalError, RuntimeError):
    """A score, metric, guarantee or perturbation of another package that fails to load."""


class AdapterError(PluginError):
    """An adapter that is missing, fails to load, or breaks its contract."""


class MemoryShortError(AdapterError):
    """Memory ran out while an adapter read an answer; once there is room, the same command resumes."""

    exit_code = 6


class CheckFailedError(BlackboxConformalError):
    """The data contradict a claim."""

    exit_code = 3


class StrangerError(BlackboxConformalError):
    """Papers are undamaged, but signed by keys that the reader does not trust."""

    exit_code = 7


class ModelChangedError(CheckFailedError):
    """The vendor answers with another model than at calibration, or than at the start of the run."""


class SuspendedError(CheckFailedError):
    """A watch suspended the calibration or called it void, and the user did not accept that."""


class BudgetError(BlackboxConformalError):
    """The next call would exceed the money or the number of calls that the user allowed."""

    exit_code = 4


class LedgerError(BlackboxConformalError, RuntimeError):
    """A ledger that cannot be trusted with money: locked, corrupt, newer, on a network file system."""


class DiskFullError(LedgerError):
    """A ledger that the disk has no room for; once there is room, the same command resumes."""

    exit_code = 6


class IncompleteError(BlackboxConformalError):
    """Work is left over; running the same command again resumes it."""

    exit_code = 6


class UnusableDrawsError(IncompleteError):
    """Draws that may be paid for have no usable picture; they are bought again only on request."""


class VendorUnavailableError(IncompleteError):
    """The vendor gives no usable answers or cannot be reached, so nothing more is sent to it for a while.

    `why`: The event at the vendor, without its effect on a run.
    `retry_after`: Seconds after which the vendor may be asked again; None: it did not say.
    """

    def __init__(self, message: str, *, why: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.why = why or message
        self.retry_after = retry_after


class VendorError(BlackboxConformalError):
    """The vendor, or the way to it, failed.

    `request_id`: The vendor's own id for the exchange, for their support desk; None when it gave none.
    `code`: The vendor's own error code or HTTP status as text; None when there was no answer.
    """

    exit_code = 6

    def __init__(self, message: str, *, request_id: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.request_id = request_id
        self.code = code


class NotSentError(VendorError):
    """Class N: nothing reached the vendor, so nothing was billed. `permanent` forbids a retry."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class FunctionFailedError(NotSentError):
    """Class N: the vendor is a function of this program, and it raised an error or returned no picture."""


class RefusedError(VendorError):
    """Class A: the vendor answered and said no to this picture (400, 413, 415, 422, moderation).

    `billed`: the vendor refused its own result (a content filter) and bills it; the price is booked, unless the vendor
    tells a cost.
    """

    def __init__(
        self, message: str, *, billed: bool = False, request_id: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message, request_id=request_id, code=code)
        self.billed = billed


class RunRefusedError(RefusedError):
    """Class A: the vendor would say no to every picture of the run, so every further call would fail, too."""


class AccountRefusedError(RunRefusedError):
    """Class A: the vendor said no to the key or account (401, 402, 403); `key_variable` names the key's variable."""

    exit_code = 5
    key_variable: str | None = None


class KeyNotSentError(AccountRefusedError):
    """Class A: the vendor said no to requests that carried no key; the message names the options that send it."""


class NotFoundError(RunRefusedError):
    """Class A: the vendor has no such model or address (404, 405, 410), so a parameter must be corrected."""

    exit_code = 2


class RedirectedError(NotFoundError):
    """Class A: the vendor answered a submission with another address (301, 302, 303, 307, 308): perhaps billed."""


class VendorFailedError(VendorError):
    """Class V: the vendor took the request and failed on its own: its machine, its queue, its quota.

    The failure says nothing of the picture, which is asked for again within limits. The attempt is booked at the cost
    that the vendor tells; else at nothing or at its price, as `Capabilities.failures_billed` says.
    """


class TryLaterError(VendorError):
    """Class R: the vendor answered and asked to wait `retry_after` seconds; None when it did not say."""

    def __init__(
        self, message: str, *, retry_after: float | None = None, request_id: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message, request_id=request_id, code=code)
        self.retry_after = retry_after


class MaybeSentError(VendorError):
    """Class M: the request may have reached the vendor, but no answer came; it may be billed."""


class JobError(VendorError):
    """Class J: an accepted job could not be polled or fetched; the job is not lost."""


class DeadlineError(JobError):
    """An accepted job did not finish in the time allowed; its adapter may cancel it."""


class JobCancelledError(DeadlineError):
    """An overdue job is cancelled, as the vendor says; no later run looks for it."""


class PayloadError(VendorError):
    """Class P: an answer that is not the paid picture."""
