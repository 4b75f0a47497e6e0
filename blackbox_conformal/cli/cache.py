"""`cache`: the stored samples, which were paid for."""

from pathlib import Path
from typing import Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli import values
from blackbox_conformal.cli.commands import Group
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.next_steps import run_named
from blackbox_conformal.cli.run_folders import folder_of
from blackbox_conformal.errors import CheckFailedError

LEDGER_OF_RUN = "The ledger of the run folder, where it is in a database."
ledger_option = shared.option("--ledger", type=values.ledger_address, metavar="ADDRESS", help=LEDGER_OF_RUN)


@click.group("cache", cls=Group)
def command() -> None:
    """Stored samples: the vendor's bytes as they arrived."""


@command.command("ls")
@shared.run_folder
@ledger_option
@shared.output
def ls(screen: Screen, run: str | None, ledger: str | None) -> None:
    """Every stored sample: digest, size, how many draws it serves."""
    from blackbox_conformal.drawing.ledger.queries import cache_ls

    samples: list[dict[str, Any]] = [
        {"digest": sample.digest, "path": str(sample.path), "bytes": sample.size, "attempts": list(sample.attempts)}
        for sample in cache_ls(folder_of(run, ledger, screen.note))
    ]
    screen.table(
        f"{len(samples)} samples, {sum(sample['bytes'] for sample in samples) / 2**20:.1f} MiB",
        ["digest", "bytes", "attempts"],
        [
            [sample["digest"][:23], str(sample["bytes"]), ", ".join(map(str, sample["attempts"])) or "none"]
            for sample in samples
        ],
    )
    screen.next("cache", "verify", *run_named(run))
    screen.data(samples)


@command.command("verify")
@shared.run_folder
@ledger_option
@shared.output
def verify(screen: Screen, run: str | None, ledger: str | None) -> None:
    """Hash every sample again; exit 3 when one is damaged."""
    from blackbox_conformal.drawing.ledger.queries import cache_ls, cache_verify

    folder = folder_of(run, ledger, screen.note)
    problems = cache_verify(folder)
    screen.say(f"{len(cache_ls(folder))} samples, {len(problems)} damaged")
    if not problems:
        screen.next("cache", "export", "--out", "samples", *run_named(run))
    screen.data({"damaged": problems})
    if problems:
        raise CheckFailedError(f"{problems[0]}; the next run puts it aside and fetches it again by its job if it can")


@command.command("prune")
@shared.run_folder
@ledger_option
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@shared.output
def prune(screen: Screen, run: str | None, ledger: str | None, dry_run: bool) -> None:
    """Remove files that no attempt names and what is in quarantine; what was paid for stays."""
    from blackbox_conformal.drawing.ledger.queries import cache_prune

    pruned = cache_prune(folder_of(run, ledger, screen.note), dry_run=dry_run)
    screen.say(f"{len(pruned)} files {'would be removed' if dry_run else 'removed'}")
    screen.data([str(path) for path in pruned])


@command.command("export")
@shared.run_folder
@ledger_option
@click.option("--out", required=True, type=shared.NEW_FOLDER, help="Empty folder for the copies.")
@shared.output
def export(screen: Screen, run: str | None, ledger: str | None, out: str) -> None:
    """Copy every stored sample under a name that people can read: picture, draw, digest."""
    from blackbox_conformal.drawing.ledger.queries import cache_export

    copies = cache_export(folder_of(run, ledger, screen.note), Path(out))
    screen.say(f"{len(copies)} samples in {out}")
    screen.data([str(path) for path in copies])
