"""`cache`: the stored samples, which were paid for."""

from pathlib import Path
from typing import Any

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.command_groups import Group
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.ledger import run_option
from blackbox_conformal.cli.run_folders import run_folder_of


@click.group("cache", cls=Group)
def command() -> None:
    """Stored samples: the vendor's bytes as they arrived."""


@command.command("ls")
@run_option
@shared.output
def ls(run: str | None, **options: Any) -> None:
    """Every stored sample: digest, size, how many draws it serves."""
    from blackbox_conformal.sampling.ledger.stored_samples import cache_ls

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    found = cache_ls(run_folder_of(run, screen.note))
    screen.table(
        f"{len(found)} samples, {sum(one.size for one in found) / 2**20:.1f} MiB",
        ["digest", "bytes", "attempts"],
        [[one.digest[:23], str(one.size), ", ".join(map(str, one.attempts)) or "nobody's"] for one in found],
    )
    screen.data(
        [
            {"digest": one.digest, "path": str(one.path), "bytes": one.size, "attempts": list(one.attempts)}
            for one in found
        ]
    )


@command.command("verify")
@run_option
@shared.output
def verify(run: str | None, **options: Any) -> None:
    """Hash every sample again; exit 3 when one is damaged."""
    from blackbox_conformal.errors import CheckFailedError
    from blackbox_conformal.sampling.ledger.stored_samples import cache_ls, cache_verify

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    folder = run_folder_of(run, screen.note)
    problems = cache_verify(folder)
    screen.say(f"{len(cache_ls(folder))} samples, {len(problems)} damaged")
    screen.data({"damaged": problems})
    if problems:
        raise CheckFailedError(f"{problems[0]}; the next run puts it aside and fetches it again by its job if it can")


@command.command("prune")
@run_option
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@shared.output
def prune(run: str | None, dry_run: bool, **options: Any) -> None:
    """Remove files that no attempt names and what is in quarantine; what was paid for stays."""
    from blackbox_conformal.sampling.ledger.stored_samples import cache_prune

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    gone = cache_prune(run_folder_of(run, screen.note), dry_run=dry_run)
    screen.say(f"{len(gone)} files {'would be removed' if dry_run else 'removed'}")
    screen.data([str(path) for path in gone])


@command.command("export")
@run_option
@click.option("--out", required=True, type=click.Path(file_okay=False), help="An empty folder.")
@shared.output
def export(run: str | None, out: str, **options: Any) -> None:
    """Copy every stored sample under a name for people: picture, draw, digest."""
    from blackbox_conformal.sampling.ledger.stored_samples import cache_export

    screen = Screen(as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    copies = cache_export(run_folder_of(run, screen.note), Path(out))
    screen.say(f"{len(copies)} samples in {out}")
    screen.data([str(path) for path in copies])
