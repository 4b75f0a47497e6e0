"""`key`: make a key to sign with, and show the public key that others know its signatures by."""

from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli import options as shared
from blackbox_conformal.cli.commands import Group
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.sign import load_signing_key, read_passphrase

if TYPE_CHECKING:
    from blackbox_conformal.documents.signature import SigningKey


@click.group("key", cls=Group)
def command() -> None:
    """A key to sign with: new, show, certificate."""


@command.command("new")
@click.argument("file", type=shared.NEW_FILE)
@click.option("--name", required=True, help="Who signs, such as 'Laboratory X'; stands in every signature.")
@click.option("--passphrase", is_flag=True, help="Encrypt the file; asks for a passphrase, which is never an option.")
@shared.output
def new(screen: Screen, file: str, name: str, passphrase: bool) -> None:
    """Write a new private key to FILE, readable by you alone, and print its public key."""
    from blackbox_conformal.documents.signature import SigningKey

    key = SigningKey.new(name)
    secret = read_passphrase("Passphrase for the new key", twice=True) if passphrase else None
    key.save(file, None if secret is None else secret.reveal())
    _show(screen, file, key)
    screen.note(
        f"{file} is secret: keep it, and a copy in a safe place. The line above is public: give it to those who are to "
        "know your signatures, in a way that no other user can change"
    )
    # Standard output has the public key alone, for a file.
    screen.free_stdout()
    screen.next("sign", "calibration.json", "--sign-with", file)


@command.command("show")
@click.argument("file", type=shared.FILE)
@shared.output
def show(screen: Screen, file: str) -> None:
    """Print the public key of the private key in FILE, and its owner's name: one line, as `--trust` reads it."""
    key = load_signing_key(screen, file)
    assert key is not None
    _show(screen, file, key)


@command.command("certificate")
@click.argument("file", type=shared.FILE)
@shared.output
def certificate(screen: Screen, file: str) -> None:
    """Print the X.509 root of the key in FILE: programs that get it as a trust anchor trust its Content Credentials."""
    from blackbox_conformal.documents.x509 import CertifiedKey

    key = load_signing_key(screen, file)
    assert key is not None
    root = CertifiedKey.of(key).root
    screen.say(root.rstrip())
    screen.data({"file": file, "key": key.key, "name": key.name, "certificate": root})


def _show(screen: Screen, file: str, key: "SigningKey") -> None:
    screen.say(f"{key.key} {key.name}")
    screen.data({"file": file, "key": key.key, "name": key.name})
