"""`sign`: sign calibrations and certificates that exist already."""

from pathlib import Path

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.papers import sign_paper
from blackbox_conformal.cli.signing import load_signing_key
from blackbox_conformal.support.text import printable


@click.command("sign")
@click.argument("papers", nargs=-1, required=True, type=shared.FILE)
@shared.option("--sign-with", required=True, type=shared.FILE, help="Private key; `key new` makes one.")
@shared.option("--force", is_flag=True, help="Replace signatures of others.")
@shared.output
def command(screen: Screen, papers: tuple[str, ...], sign_with: str, force: bool) -> None:
    """Sign PAPERS, calibrations or certificates, in their files; you vouch for what stands in them.

    A certificate is checked first, as `verify` does, with the files beside it. With a calibration the watch beside it
    is signed as it stands.
    """
    key = load_signing_key(screen, sign_with)
    assert key is not None
    # All are read before the first is written, so that a wrong one leaves no other half done.
    ready = [sign_paper(Path(name), key, force=force) for name in papers]
    for name, write in zip(papers, ready, strict=True):
        write()
        screen.say(f"{printable(name)}: signed with {key.key} as {key.name}")
    screen.next("verify", *papers, "--trust", key.key)
    screen.data([{"paper": name, "key": key.key, "name": key.name} for name in papers])
