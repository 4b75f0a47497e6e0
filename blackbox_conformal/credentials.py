"""Where keys come from: an environment variable, or the file that `<variable>_FILE` names.

Keys are never read from a configuration file or a command line, and never written anywhere.
"""

import os
from pathlib import Path

from blackbox_conformal.errors import CredentialMissingError
from blackbox_conformal.redaction import Secret


def read_credential(variable: str, owner: str) -> Secret:
    """The key in `variable`, stripped of surrounding white space.

    Raises
    ------
    CredentialMissingError
        The variable and its `_FILE` twin are unset or empty, the file cannot be read, or the key holds characters
        that no HTTP header can carry.
    """
    value = os.environ.get(variable, "")
    file_name = os.environ.get(f"{variable}_FILE", "")
    if not value and file_name:
        try:
            value = Path(file_name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CredentialMissingError(
                f"expected a readable key file in {variable}_FILE; {type(error).__name__} while reading it"
            ) from None
    value = value.strip()
    if not value:
        raise CredentialMissingError(
            f"adapter {owner} expects its key in {variable} (or a file named by {variable}_FILE); neither is set"
        )
    secret = Secret(value)
    if not value.isascii() or not value.isprintable() or " " in value:
        raise CredentialMissingError(f"the key in {variable} holds white space or non-ASCII characters; copy it again")
    return secret
