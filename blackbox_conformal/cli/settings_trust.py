"""How far a settings file is trusted: whose it is, where it lies, and what it may therefore set."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from blackbox_conformal.errors import UsageError

_CONSENT = ("yes", "max-cost", "max-cost-in-all", "max-calls", "max-resample", "retry-ambiguous", "insecure-http")
"""Settings by which a user agrees to something."""

_VOUCHING = ("sign-with", "trust", "require-signature", "ledger", "store", "cluster")
"""Settings by which a user signs in his own name, or says whose signatures count, where answers go, which database
gets a password, or which scheduler, whose answers may hold code, is believed.
"""

_PICTURES = ("fresh", "inputs")
"""Settings that name pictures, which are fetched where they name an address."""

_PARAMETERS = ("p", "second", "vendor")


def read_own(path: Path) -> str:
    """The text of a settings file that belongs to this user and that no other can write.

    Raises
    ------
    UsageError
        Somebody else owns it or can write it.
    OSError, UnicodeDecodeError
        It cannot be read.
    """
    with path.open("rb") as file:
        # The open file is asked and not its name, which may lead to another file a moment later.
        status = os.fstat(file.fileno())
        for owner in (status.st_uid, path.lstat().st_uid):
            if hasattr(os, "geteuid") and owner != os.geteuid():
                raise UsageError(
                    f"{path} belongs to user {owner} and not to you ({os.geteuid()}), so it is not believed; read "
                    "it, and if you agree with it `chown` it or copy it over, else work in another folder"
                )
        if _is_open_to_others(status):
            raise UsageError(
                f"{path} can be written by others, so it is not believed; read it, and if you agree with it "
                f"`chmod go-w {path}`"
            )
        return file.read().decode("utf-8")


def _is_open_to_others(status: os.stat_result) -> bool:
    if os.name != "posix":
        return False
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _is_private_group(status.st_gid)


def _is_private_group(gid: int) -> bool:
    """Whether a group is the user's own, as many systems give everyone: no other user can write a file of 0664 then."""
    import grp
    import pwd

    try:
        group, user = grp.getgrgid(gid), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return (group.gr_gid, group.gr_name) == (user.pw_gid, user.pw_name) and set(group.gr_mem) <= {user.pw_name}


def refuse_code(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse a settings file that names a module to import as a vendor.

    Raises
    ------
    UsageError
        It does.
    """
    from blackbox_conformal.study.plugins import refuse_import

    for shown, name, value in _entries(content):
        if name in ("adapter", "second-adapter"):
            refuse_import(value, f"{shown} in {path}", name)
        if name == "vendor":
            for text in value.split() if isinstance(value, str) else value:
                # Parameters follow a name without a dot, the class of a module one with a dot.
                vendor = str(text).partition(":")[0]
                refuse_import(text if "." in vendor else vendor, f"{shown} in {path}", name)


def refuse_consent(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse a settings file above the working folder that agrees to something in the user's place.

    Raises
    ------
    UsageError
        It agrees to spending, sets a limit to it, or says where a vendor, and with it a key, is.
    """
    for shown, name, value in _entries(content):
        if name in _CONSENT:
            raise UsageError(
                f"{path} lies above the working folder and sets {shown}, which it may not; type --{name}, or set it in "
                f"{path.name} of the working folder itself"
            )
        if name in _PARAMETERS and "://" in str(value):
            raise UsageError(
                f"{path} lies above the working folder and sets an address in {shown}, which would see a key; type it, "
                f"or set it in {path.name} of the working folder itself"
            )


def refuse_vouching(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse a project's settings file that signs in the user's name or says whose signatures the user trusts.

    Such a file often comes with a project of somebody else, whose papers it would vouch for.

    Raises
    ------
    UsageError
        It does.
    """
    for shown, name, value in _entries(content):
        if name in _VOUCHING or (name in _PICTURES and "://" in str(value)):
            raise UsageError(
                f"{path} sets {shown}, which a project's settings file may not; type --{name}, or set it in the "
                "environment or in your own ~/.config/blackbox-conformal/config.toml"
            )


def _entries(content: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Every setting: as it stands in the file, the name of its option, and its value."""
    for key, value in content.items():
        name = key.replace("_", "-")
        if isinstance(value, dict) and name not in _PARAMETERS:
            for inner, entry in value.items():
                yield f"[{key}] {inner}", inner.replace("_", "-"), entry
        else:
            yield key, name, value
