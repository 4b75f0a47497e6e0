"""Settings from files and the environment, each with its origin.

Precedence: flag > environment > `blackbox-conformal.toml` found upward from the working folder > user file > default.
"""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from blackbox_conformal.errors import UsageError

FILE_NAME = "blackbox-conformal.toml"
PREFIX = "BLACKBOX_CONFORMAL_"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its value and where it came from, in words."""

    value: Any
    origin: str


def files() -> list[Path]:
    """The configuration files that apply, the strongest first."""
    found = []
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FILE_NAME).is_file():
            found.append(folder / FILE_NAME)
            break
    user = user_file()
    return [*found, user] if user.is_file() else found


def user_file() -> Path:
    """Where a user's own settings are looked for."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser())
    return home / "blackbox-conformal" / "config.toml"


def read(path: Path) -> dict[str, Any]:
    """The file's content.

    Raises
    ------
    UsageError
        It is no TOML, or cannot be read; the message has the line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: expected TOML settings; {error}") from None


def lookup(name: str, command: str | None) -> Setting | None:
    """The strongest value of `name` (an option without its dashes) below flags; None when nothing sets it."""
    variable = PREFIX + name.upper().replace("-", "_")
    if variable in os.environ:
        return Setting(os.environ[variable], f"environment {variable}")
    for path in files():
        content = read(path)
        section = content.get(command or "", {})
        for table, where in ((section if isinstance(section, dict) else {}, f"[{command}] "), (content, "")):
            for key in (name, name.replace("-", "_")):
                if key in table and not (isinstance(table[key], dict) and where == "" and key != "p"):
                    return Setting(table[key], f"{where}{key} in {path}")
    return None


class Configured(click.Option):
    """An option that falls back to the environment and the configuration files."""

    def consume_value(self, ctx: click.Context, opts: Any) -> tuple[Any, click.core.ParameterSource]:
        """The flag if given, else the strongest setting, else the default."""
        value, source = super().consume_value(ctx, opts)
        if source in (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.PROMPT):
            return value, source
        setting = lookup(option_name(self), ctx.info_name)
        if setting is None:
            return value, source
        found = setting.value
        if self.multiple:
            if isinstance(found, dict):
                found = tuple(f"{key}={entry}" for key, entry in found.items())
            elif isinstance(found, str):
                found = tuple(found.split())
        elif self.is_flag and isinstance(found, str):
            found = found.strip().lower() in ("1", "true", "yes", "on")
        elif not isinstance(found, (str, bool)):
            found = str(found)
        return found, click.core.ParameterSource.DEFAULT_MAP


def option_name(option: click.Option) -> str:
    """The option's name as a setting: its long flag without dashes, or `p`."""
    longest = max(option.opts, key=len)
    return longest.lstrip("-")
