"""Refusal of settings that no command knows: a mistyped limit would be ignored in silence."""

import difflib
import os
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from blackbox_conformal.cli.commands import every_command
from blackbox_conformal.errors import UsageError

OTHERS = ("annotations", "kernel-cache", "signing-passphrase", "signing-passphrase-file")
"""What the environment can set besides options."""

RENAMED = {"clusters": "tiles", "perturb": "perturbation"}
"""Settings that had another name before, by that."""

_NEAR = 0.8


def refuse_unknown_settings(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse a configuration file that sets what no command takes."""
    of_command = settings()
    anywhere = set().union(*of_command.values())
    for key, value in content.items():
        name = key.replace("_", "-")
        if isinstance(value, dict) and key in of_command:
            for inner in value:
                _refuse(path, f"[{key}] {inner}", inner.replace("_", "-"), of_command[key])
        else:
            _refuse(path, key, name, anywhere | (set(of_command) if isinstance(value, dict) else set()))


def refuse_near_variables(prefix: str) -> None:
    """Refuse a variable of the environment whose name is nearly that of a setting.

    Others may be meant for something else.
    """
    variables = [name for name in os.environ if name.startswith(prefix)]
    if not variables:
        return
    names = set().union(*settings().values(), OTHERS)
    for variable in variables:
        setting = variable.removeprefix(prefix).lower().replace("_", "-")
        near = difflib.get_close_matches(setting, names, n=1, cutoff=_NEAR)
        if setting not in names and near:
            meant = prefix + near[0].upper().replace("-", "_")
            raise UsageError(f"{variable} in the environment: there is no such setting; did you mean {meant}?")


def _refuse(path: Path, place: str, name: str, names: Collection[str]) -> None:
    if name in names:
        return
    near = [RENAMED[name]] if name in RENAMED else difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else "`blackbox-conformal config show` lists them"
    raise UsageError(f"{path}: there is no setting {place!r}; {hint}")


@cache
def settings() -> dict[str, frozenset[str]]:
    """The settings of every command, and of every command within a group, by the last word of its name."""
    settings_of: dict[str, frozenset[str]] = {}
    for words, command in every_command().items():
        # Options that can be set say as what; see `Configured` in `config_file`.
        own = {str(parameter.setting) for parameter in command.params if hasattr(parameter, "setting")}
        name = words.rpartition(" ")[2]
        settings_of[name] = settings_of.get(name, frozenset()) | own
    return settings_of
