"""What is known before a call is made: whether the vendor's key is at hand, and whether draws lie elsewhere already.

Nothing is sent, written or reserved.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from blackbox_conformal.adapter import Adapter, Answer, Draw, Send
from blackbox_conformal.errors import CredentialMissingError, LedgerError
from blackbox_conformal.sampling.ledger.ledger_file import ledger_path, reading
from blackbox_conformal.sampling.task import Task, idempotency_key, task_keys

_EMPTY = Answer(0, {}, b"")
_STEPS_BEFORE_SENDING = 8


def missing_key(adapter: Adapter, task: Task) -> CredentialMissingError | None:
    """What the adapter says of the key that its first request lacks; None when nothing lacks.

    The request is composed and thrown away: whether a key is needed may depend on the adapter's parameters. Whatever
    else is wrong with the request is told when it is sent.
    """
    if adapter.capabilities.local:
        return None
    flow = adapter.draw(task.upload, Draw(task.index, task.seed, idempotency_key("sha256:composed")))
    try:
        step = next(flow)
        for _ in range(_STEPS_BEFORE_SENDING):
            if isinstance(step, Send):
                break
            step = flow.send(_EMPTY)
    except CredentialMissingError as error:
        return error
    except Exception:  # noqa: BLE001 - a foreign adapter that was not opened may fail in any way
        return None
    finally:
        flow.close()
    return None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """`count` draws that `folder` holds, a run folder, and that the wanted one lacks."""

    folder: Path
    count: int


def stored_elsewhere(
    adapter: Adapter, tasks: Sequence[Task], run: Path, note: Callable[[str], object] = lambda text: None
) -> Elsewhere | None:
    """The run folder beside `run` that holds most of the draws that `run` lacks; None when no folder holds any.

    Ledgers are read only. One beside `run` that cannot be read is left out, and `note` is told of it.

    Raises
    ------
    LedgerError
        The ledger of `run` itself cannot be read.
    """
    if adapter.capabilities.local or not run.parent.is_dir():
        return None
    wanted = set(task_keys(adapter.identity(), tasks)) - _stored(run)
    beside = sorted(path.parent for path in run.parent.glob(f"*/{ledger_path(Path()).name}"))
    found = []
    for one in beside:
        if one.resolve() == run.resolve():
            continue
        try:
            found.append(Elsewhere(one, len(wanted & _stored(one))))
        except LedgerError as error:
            note(f"note: the run folder {one} is left out: {error}")
    best = max(found, key=lambda one: one.count, default=None)
    return best if best is not None and best.count else None


def are_stored(adapter: Adapter, tasks: Sequence[Task], run: Path) -> bool:
    """Whether `run` holds the picture of every draw, so that nothing at all is asked of the vendor."""
    return adapter.capabilities.local or set(task_keys(adapter.identity(), tasks)) <= _stored(run)


def _stored(run: Path) -> set[str]:
    """Keys of the draws whose pictures `run` holds."""
    with reading(run, whole=False) as connection:
        if connection is None:
            return set()
        rows = connection.execute("SELECT task FROM attempt WHERE state IN ('stored', 'validated')")
        return {row["task"] for row in rows}
