"""AWS access keys, from where the vendor's own tools look for them first: the environment, then the credentials file.

Reference: AWS SDKs and Tools Reference Guide, "Shared config and credentials files". Single sign-on, roles and the keys
of a machine in the cloud need AWS's own software; ``aws configure export-credentials`` writes them as variables.
"""

import configparser
import os
from pathlib import Path
from typing import NamedTuple

from blackbox_conformal.errors import CredentialMissingError
from blackbox_conformal.support.secrets import Secret, checked_secret, read_credential


class AwsKeys(NamedTuple):
    """One access key with its secret; a token belongs to temporary keys alone."""

    access_key: Secret
    secret_key: Secret
    session_token: Secret | None


def aws_keys(owner: str) -> AwsKeys:
    """The keys in the environment, or those of the profile AWS_PROFILE in AWS_SHARED_CREDENTIALS_FILE.

    The profile is ``default`` and the file ~/.aws/credentials where these variables are not set.

    Raises
    ------
    CredentialMissingError
        There are no keys, half of a pair is missing, or a key holds characters that no HTTP header can carry.
    """
    if any(os.environ.get(f"AWS_ACCESS_KEY_ID{ending}") for ending in ("", "_FILE")):
        token = any(os.environ.get(f"AWS_SESSION_TOKEN{ending}") for ending in ("", "_FILE"))
        return AwsKeys(
            read_credential("AWS_ACCESS_KEY_ID", owner),
            read_credential("AWS_SECRET_ACCESS_KEY", owner),
            read_credential("AWS_SESSION_TOKEN", owner) if token else None,
        )
    file = Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials").expanduser()
    profile = os.environ.get("AWS_PROFILE") or "default"
    values = _section(file, profile)
    found = {
        name: checked_secret(values[name], f"{name} of the profile {profile} in {file}")
        for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        if values.get(name)
    }
    try:
        return AwsKeys(found["aws_access_key_id"], found["aws_secret_access_key"], found.get("aws_session_token"))
    except KeyError as missing:
        raise CredentialMissingError(
            f"adapter {owner} expects AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a file {file} whose profile "
            f"{profile} has {missing.args[0]}; neither is there. Set the variables, or name the file and profile in "
            "AWS_SHARED_CREDENTIALS_FILE and AWS_PROFILE"
        ) from None


def _section(file: Path, profile: str) -> dict[str, str]:
    """One profile of a credentials file; empty where the file or the profile is not there."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        # The error's own text is left out: it quotes lines of the file, which may hold a key.
        raise CredentialMissingError(
            f"expected a readable AWS credentials file at {file}; {type(error).__name__} while reading it"
        ) from None
    return dict(parser[profile]) if parser.has_section(profile) else {}
