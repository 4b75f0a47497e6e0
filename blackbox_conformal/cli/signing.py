"""Signatures at the command line: the key that a user signs with, and calibrations that somebody vouches for."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli.config_file import PREFIX, origin_of
from blackbox_conformal.cli.console import Screen
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.secrets import Secret
from blackbox_conformal.support.text import printable

if TYPE_CHECKING:
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.documents.signing_key import SigningKey
    from blackbox_conformal.documents.x509 import CertifiedKey

PASSPHRASE = f"{PREFIX}SIGNING_PASSPHRASE"
"""The variable that holds the passphrase; with ``_FILE`` behind it, the one that names a file with it."""


def load_signing_key(screen: Screen, path: str | None) -> "SigningKey | None":
    """The key in a file, after its passphrase if it has one; None where none is named."""
    from blackbox_conformal.documents.signing_key import SigningKey, is_encrypted

    if path is None:
        return None
    if not is_encrypted(path):
        return SigningKey.load(path)
    with screen.paused():
        return SigningKey.load(path, read_passphrase(f"Passphrase of {path}").reveal())


def load_certified_key(
    screen: Screen, credentials: bool, path: str | None, own: "SigningKey | None", calibration: "Calibration"
) -> "CertifiedKey | None":
    """Return the key that signs Content Credentials: the user's, or `own`; None where none are asked for."""
    from blackbox_conformal.documents.credentials import refuse_bands, refuse_unfit
    from blackbox_conformal.documents.signing_key import is_encrypted
    from blackbox_conformal.documents.x509 import CertifiedKey

    if path is not None:
        with screen.paused():
            secret = read_passphrase(f"Passphrase of {path}").reveal() if is_encrypted(path) else None
        key = CertifiedKey.load(path, secret)
    elif not credentials:
        return None
    elif own is None:
        raise UsageError(
            "expected a key for --credentials; got none. Add --sign-with lab.pem, which `blackbox-conformal key new "
            "lab.pem --name 'Laboratory X'` makes, or --credentials-with FILE with your own certificates and key"
        )
    else:
        key = CertifiedKey.of(own)
    refuse_bands(calibration.procedure)
    refuse_unfit(key)
    return key


def read_passphrase(question: str, *, twice: bool = False) -> Secret:
    """The passphrase from the environment, or typed at the terminal, where it does not show."""
    text = os.environ.get(PASSPHRASE, "")
    file = os.environ.get(f"{PASSPHRASE}_FILE", "")
    if not text and file:
        try:
            text = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"expected a readable file in {PASSPHRASE}_FILE; {type(error).__name__} while reading it"
            ) from None
    if not text and sys.stdin.isatty():
        text = click.prompt(question, hide_input=True, confirmation_prompt=twice, err=True)
    if not text:
        raise UsageError(
            f"expected the passphrase of the signing key in {PASSPHRASE} (or a file named by {PASSPHRASE}_FILE), or a "
            "terminal to ask at; got neither"
        )
    return Secret(text)


def trusted(trust: tuple[str, ...]) -> frozenset[str]:
    """The keys that the option `--trust` names."""
    from blackbox_conformal.documents.signature import PREFIX as KEY
    from blackbox_conformal.documents.signature import trusted_keys

    origin = origin_of("trust")
    if origin is not None and not trust:
        # A secret that is missing in continuous integration is empty, and may not end the check that it is for.
        raise UsageError(
            f"expected public keys ({KEY}…) in {origin}; it is empty, which would trust everybody. Set it to the key, "
            "or unset it"
        )
    typed = click.get_current_context().get_parameter_source("trust") == click.core.ParameterSource.COMMANDLINE
    for text in trust:
        if not (typed or text.startswith(KEY) or Path(text).is_absolute()):
            raise UsageError(
                f"expected keys ({KEY}…) or whole paths, from /, where trust is a setting; got {text!r}, which is "
                "another file in each folder"
            )
    return trusted_keys(trust)


def load_calibration(
    screen: Screen, path: str, trust: tuple[str, ...], own: "SigningKey | None" = None
) -> "Calibration":
    """A calibration; where keys are trusted, one that is signed with one of them.

    `own` is the key that the user signs with: it counts as trusted, and is not one of `trust`.
    """
    from blackbox_conformal.documents.calibration import Calibration

    keys = trusted(trust)
    calibration = Calibration.load(path)
    vouching = calibration.vouching(keys)
    if trust:
        vouching.require(printable(path), trusted=True)
    if calibration.signature is not None:
        command = click.get_current_context().info_name
        told = vouching if own is None else calibration.vouching(keys | {own.key})
        screen.note(f"calibration: {told.words(f'you have not told {command} that you trust this key')}")
    return calibration
