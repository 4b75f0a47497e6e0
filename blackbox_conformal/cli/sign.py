"""`sign`: sign calibrations and certificates that exist already."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.papers import read_paper
from blackbox_conformal.cli.signing import load_signing_key
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.text import printable

if TYPE_CHECKING:
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.documents.signing_key import SigningKey


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


def sign_paper(path: Path, key: "SigningKey", *, force: bool) -> Callable[[], object]:
    """What writes the paper at `path` with a signature.

    Raises
    ------
    BlackboxConformalError
        It is no paper, does not agree with its files, or is signed by somebody else.
    """
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.support.files import write_new

    paper = read_paper(path)
    if isinstance(paper, Calibration):
        _check_watch(path, paper)
    if paper.signature is not None and paper.signature.key != key.key and not force:
        raise UsageError(
            f"{printable(path)} is signed by {paper.signature.signer}; give --force to replace that signature by yours"
        )
    signed = paper.signed(key)
    if isinstance(signed, Calibration):
        return lambda: _write(path, signed, key)
    return lambda: write_new(path, signed.to_json().encode(), force=True)


def _check_watch(path: Path, calibration: "Calibration") -> None:
    """Refuse a watch file beside the calibration that was changed since it was written, by any signer."""
    from blackbox_conformal.study.watched import watching

    watching().check_beside(path, replace(calibration, signature=None))


def _write(path: Path, calibration: "Calibration", key: "SigningKey") -> None:
    """Write a signed calibration, and sign the log of the watch beside it, if there is one."""
    from blackbox_conformal.study.watched import watching

    calibration.save(path, force=True)
    watching().sign_beside(path, calibration, key)
