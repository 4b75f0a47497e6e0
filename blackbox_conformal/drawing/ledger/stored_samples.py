"""Lists, verifies, prunes and exports the samples of a run folder; never removes one that the ledger names."""

import contextlib
import os
import shlex
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.drawing.ledger.backends import has_ledger, open_ledger, store_of
from blackbox_conformal.drawing.ledger.queries import ledger_ls
from blackbox_conformal.drawing.ledger.run_lock import RunLock
from blackbox_conformal.drawing.ledger.sample_store import Store
from blackbox_conformal.drawing.ledger.states import WHOLE
from blackbox_conformal.errors import LedgerError, PayloadError, UsageError
from blackbox_conformal.support.text import file_stem


@dataclass(frozen=True, slots=True)
class StoredSample:
    """A sample file: digest, path, size, and the attempts that own it (none: an orphan)."""

    digest: str
    path: Path
    size: int
    attempts: tuple[int, ...]


def cache_ls(run: Path) -> list[StoredSample]:
    """Return every sample of a run folder."""
    owners: dict[str, list[int]] = defaultdict(list)
    if has_ledger(run):
        for attempt in ledger_ls(run):
            if attempt.digest is not None:
                owners[attempt.digest].append(attempt.id)
    return [
        StoredSample(digest, path, path.stat().st_size, tuple(owners.get(digest, ())))
        for digest, path in Store(run).files()
    ]


def cache_verify(run: Path) -> list[str]:
    """Hash every sample again; return what is wrong with them. Nothing is moved."""
    store = Store(run)
    problems = []
    for digest, _ in store.files():
        try:
            store.examine(digest)
        except PayloadError as error:
            problems.append(str(error))
    return problems


def cache_prune(run: Path, *, dry_run: bool = False) -> list[Path]:
    """Remove unpaid files: samples that no attempt names, and quarantined files; return the files."""
    store = Store(run)
    with contextlib.ExitStack() as owned:
        if LEDGERS.of(run) is not None:
            # A shared ledger does not belong to one process, but the folder does.
            owned.callback(RunLock(run).release)
        ledger = open_ledger(run)
        owned.callback(ledger.close)
        if next(iter(store.unknown_to(ledger.unknown)), None) is not None:
            raise LedgerError(
                f"the ledger of {run} is older than what lies beside it, and has forgotten what was paid for; first run"
                f" blackbox-conformal ledger remember --run {shlex.quote(str(run))}"
            )
        unpaid = [sample.path for sample in cache_ls(run) if not sample.attempts and sample.path.parent.name != "inbox"]
        unpaid += store.quarantined()
        if not dry_run:
            for path in unpaid:
                path.unlink(missing_ok=True)
    return unpaid


def cache_export(run: Path, folder: Path) -> list[Path]:
    """Copy every stored sample into `folder` as picture, draw, digest; return the copies."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise UsageError(f"expected an empty folder to export into; {folder} holds files. Name another")
    copies = []
    with contextlib.closing(store_of(run)) as store:
        for attempt in ledger_ls(run, WHOLE):
            if attempt.digest is None:
                continue
            source = store.examine(attempt.digest)
            short = attempt.digest.removeprefix("sha256:")[:12]
            target = folder / f"{file_stem(attempt.upload_name)}-{attempt.draw:03d}-{short}{source.suffix}"
            try:
                with source.open("rb") as data, target.open("xb") as copy:
                    shutil.copyfileobj(data, copy)
                    copy.flush()
                    os.fsync(copy.fileno())
            except FileExistsError:
                raise UsageError(f"{target} is there already; export into an empty folder") from None
            copies.append(target)
    return copies
