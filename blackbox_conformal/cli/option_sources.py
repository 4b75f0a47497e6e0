"""The sources of an option: settings from files and the environment, each with its origin.

Precedence: flag > environment > the project's `blackbox-conformal.toml` > user file > preset > default.
"""

import difflib
import os
import stat
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any

import click

from blackbox_conformal.cli.commands import every_command
from blackbox_conformal.errors import UsageError
from blackbox_conformal.study.settings_table import OUTPUT, REMOVED
from blackbox_conformal.study.stages.defaults import preset_settings

OTHERS = ("annotations", "kernel-cache", "signing-passphrase", "signing-passphrase-file")
"""Settings of the environment besides options."""

RENAMED = {"clusters": "tiles", "perturb": "perturbation"}
"""Settings by their former names."""

_NEAR = 0.8


def refuse_unknown_settings(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse a configuration file with a setting that no command takes."""
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
    """Refuse an environment variable whose name is nearly a setting's. Others may belong to something else."""
    variables = [name for name in os.environ if name.startswith(prefix)]
    if not variables:
        return
    names = set().union(*settings().values(), OTHERS)
    for variable in variables:
        setting = variable.removeprefix(prefix).lower().replace("_", "-")
        near = difflib.get_close_matches(setting, names, n=1, cutoff=_NEAR)
        if setting not in names and (near or setting in REMOVED):
            hint = REMOVED.get(setting) or f"did you mean {prefix}{near[0].upper().replace('-', '_')}?"
            raise UsageError(f"{variable} in the environment: there is no such setting; {hint}")


def _refuse(path: Path, place: str, name: str, names: Collection[str]) -> None:
    if name in names:
        return
    near = [RENAMED[name]] if name in RENAMED else difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else "`blackbox-conformal config show` lists them"
    raise UsageError(f"{path}: there is no setting {place!r}; {REMOVED.get(name, hint)}")


@cache
def settings() -> dict[str, frozenset[str]]:
    """Return the settings of every command, also within groups, by the last word of its name."""
    settings_of: dict[str, frozenset[str]] = {}
    for words, command in every_command().items():
        # A settable option names its setting; see `Configured` in `settings`.
        own = {str(parameter.setting) for parameter in command.params if hasattr(parameter, "setting")}
        name = words.rpartition(" ")[2]
        settings_of[name] = settings_of.get(name, frozenset()) | own
    return settings_of


# How far a settings file is trusted: its owner and place decide what it may set.

_CONSENT = ("yes", "max-resample", "retry-ambiguous", "accept-refusals", "insecure-http")
"""Settings by which a user agrees to pay, pay again, or show a key."""

LIMITS = ("max-cost", "max-cost-in-all", "max-cost-per-day", "max-calls")
"""Settings that a project's file can lower and not raise."""

_VOUCHING = ("sign-with", "credentials-with", "trust", "require-signature", "ledger", "cluster")
"""Settings for a user's signature and trust, not for a project's file.

They say in whose name papers are signed, whose signatures count, which database gets answers and a password, and which
scheduler, whose answers may hold code, is believed.
"""

_PARAMETERS = ("p", "second", "vendor")


def read_own(path: Path) -> str:
    """Read a settings file that belongs to this user and that nobody else can write."""
    with path.open("rb") as file:
        # The open file is asked, because its name may lead to another file a moment later.
        status = os.fstat(file.fileno())
        for owner in (status.st_uid, path.lstat().st_uid):
            if hasattr(os, "geteuid") and owner != os.geteuid():
                raise UsageError(
                    f"{path} belongs to user {owner} and not to you ({os.geteuid()}), so it is not believed; read "
                    "it, and if you agree with it `chown` it or copy it over, else work in another folder"
                )
        mode = status.st_mode if os.name == "posix" else 0
        if mode & stat.S_IWOTH or (mode & stat.S_IWGRP and not _is_private_group(status.st_gid)):
            raise UsageError(
                f"{path} can be written by others, so it is not believed; read it, and if you agree with it "
                f"`chmod go-w {path}`"
            )
        return file.read().decode("utf-8")


def _is_private_group(gid: int) -> bool:
    # Many systems give everyone a group of his own: then 0664 opens a file to nobody else.
    import grp
    import pwd

    try:
        group, user = grp.getgrgid(gid), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return (group.gr_gid, group.gr_name) == (user.pw_gid, user.pw_name) and set(group.gr_mem) <= {user.pw_name}


def refuse_code(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse a settings file that names a module to import as a vendor."""
    from blackbox_conformal.study.plugins import refuse_import

    for shown, name, value in _entries(content):
        if name in ("adapter", "second-adapter"):
            refuse_import(value, f"{shown} in {path}", name)
        if name == "vendor":
            for text in value.split() if isinstance(value, str) else value:
                # A name without a dot takes parameters after the colon; with a dot, it is a module, and its class
                # follows.
                vendor = str(text).partition(":")[0]
                refuse_import(text if "." in vendor else vendor, f"{shown} in {path}", name)


def refuse_of_project(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse a project's settings file that agrees, signs or trusts in the user's place.

    Such a file often comes with a stranger's project, which could spend the user's money and vouch for papers.
    """
    for shown, name, value in _entries(content):
        if name in (*_CONSENT, *_VOUCHING):
            raise UsageError(
                f"{path} sets {shown}, which a project's settings file may not; type --{name}, or set it in the "
                f"environment or in your own {user_file()}"
            )
        if name in _PARAMETERS and "://" in str(value) and path.parent != Path.cwd():
            raise UsageError(
                f"{path} lies above the working folder and sets an address in {shown}, which would see a key; type it, "
                f"or set it in {path.name} of the working folder itself"
            )


def _entries(content: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    # Each setting: its name in the file, its option's name, and its value.
    for key, value in content.items():
        name = key.replace("_", "-")
        if isinstance(value, dict) and name not in _PARAMETERS:
            for inner, entry in value.items():
                yield f"[{key}] {inner}", inner.replace("_", "-"), entry
        else:
            yield key, name, value


FILE_NAME = "blackbox-conformal.toml"
PREFIX = "BLACKBOX_CONFORMAL_"

_ENVIRONMENT = "environment "
_SEARCHED = f"{__name__}: searched"
"""In a context: the environment was searched for mistyped variables, once for the whole command."""

_VENDOR = {"p": "adapter", "second": "second-adapter"}
"""A vendor's parameters as settings, each with the setting that names the vendor."""

_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


@dataclass(frozen=True, slots=True)
class ConfiguredSetting:
    """A setting: its value, its origin in words, and whether a project's file alone sets it."""

    value: Any
    origin: str
    of_project: bool = False


def files() -> list[Path]:
    """List the configuration files that apply, the strongest first."""
    # The search for a project's file goes up to the folder of `.git` or the home; without either, it stays here.
    here, home, user = Path.cwd(), Path(os.path.expanduser("~")), user_file()
    nearest = None
    for folder in (here, *here.parents):
        if nearest is None and (folder / FILE_NAME).is_file():
            nearest = folder / FILE_NAME
        if (folder / ".git").exists() or folder == home:
            break
    else:
        nearest = nearest if nearest is not None and nearest.parent == here else None
    return [*filter(None, [nearest]), *([user] if user.is_file() else [])]


def user_file() -> Path:
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser())
    return home / "blackbox-conformal" / "config.toml"


def read(path: Path) -> dict[str, Any]:
    try:
        content = _content(path, (path.stat().st_mtime_ns, path.stat().st_ctime_ns, path.lstat().st_ctime_ns))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: expected TOML settings; {error}") from None
    except RecursionError:
        raise UsageError(f"{path}: expected TOML settings; they are nested too deeply") from None
    if path != user_file():
        refuse_of_project(path, content)
    return content


@cache
def _content(path: Path, changed: tuple[int, ...]) -> dict[str, Any]:
    content = tomllib.loads(read_own(path))
    refuse_unknown_settings(path, content)
    refuse_code(path, content)
    return content


def lookup(
    name: str, command: str | None, preset: str | None = None, vendor: str | None = None
) -> ConfiguredSetting | None:
    """Return the strongest value of `name` (an option without dashes) below flags; None if nothing sets it.

    Between a limit in a project's file and the user's own, the lower one counts. `vendor`: the typed adapter; a file's
    parameters apply to the adapter that the file names, if any.
    """
    variable = PREFIX + name.upper().replace("-", "_")
    if variable in os.environ:
        return ConfiguredSetting(os.environ[variable], f"{_ENVIRONMENT}{variable}")
    named = _VENDOR.get(name)
    if named and vendor is None:
        found = lookup(named, command)
        vendor = None if found is None else found.value
    lowered = None
    for path in files():
        content = read(path)
        if named and vendor != next((str(value) for value, _ in _said(content, command, named)), vendor):
            continue
        for value, where in _said(content, command, name):
            # A table may be called like a setting.
            if not isinstance(value, dict) or name == "p" or where.startswith("["):
                setting = ConfiguredSetting(value, f"{where} in {path}", of_project=path != user_file())
                if lowered is not None:
                    try:
                        is_lower = Decimal(str(lowered.value)) <= Decimal(str(setting.value))
                    except InvalidOperation:
                        is_lower = True
                    return replace(lowered if is_lower else setting, of_project=False)
                if not (setting.of_project and name in LIMITS):
                    return setting
                lowered = setting
                break
    if lowered is not None:
        return lowered
    of_preset = {} if preset is None else preset_settings(preset)
    return ConfiguredSetting(of_preset[name], f"preset {preset}") if name in of_preset else None


class Described(click.Option):
    """An option with its place in help (`group`; `main`: most people need it) and the reference.

    `no_keyword`: why Python has no such keyword; "" if it has one.
    """

    def __init__(self, *names: Any, group: str = OUTPUT, main: bool = False, no_keyword: str = "", **more: Any) -> None:
        super().__init__(*names, **more)
        self.group, self.main, self.no_keyword = group, main or self.required, no_keyword


class Configured(Described):
    """An option that falls back to the environment and the configuration files."""

    @property
    def setting(self) -> str:
        """The option's name as a setting: its long flag without dashes, or `p`."""
        return max(self.opts, key=len).lstrip("-")

    def consume_value(self, ctx: click.Context, opts: Any) -> tuple[Any, click.core.ParameterSource]:
        """Return the flag, else the strongest setting, else the default. Options read the preset, which is eager."""
        value, source = super().consume_value(ctx, opts)
        if source in (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.PROMPT):
            return value, source
        if _SEARCHED not in ctx.meta:
            ctx.meta[_SEARCHED] = True
            refuse_near_variables(PREFIX)
        preset = ctx.params.get("preset")
        # An option that is not given is no text; its kind depends on click's version. Typed options are read before
        # others.
        vendor = ctx.params.get(_VENDOR.get(self.setting, "").replace("-", "_"))
        setting = lookup(self.setting, ctx.info_name, preset if isinstance(preset, str) else None, vendor)
        if setting is None:
            return value, source
        ctx.meta[_key(self.name)] = setting
        return self._typed(setting), click.core.ParameterSource.DEFAULT_MAP

    def _typed(self, setting: ConfiguredSetting) -> Any:
        value = setting.value
        if self.multiple and isinstance(value, dict):
            return tuple(f"{key}={entry}" for key, entry in value.items())
        if self.multiple:
            return tuple(value.split()) if isinstance(value, str) else value
        if self.is_flag and isinstance(value, str):
            word = value.strip().lower()
            if word not in _YES + _NO:
                raise UsageError(
                    f"{setting.origin}: expected one of {', '.join(filter(None, _YES + _NO))}; got {value!r}"
                )
            return word in _YES
        return value if isinstance(value, (str, bool)) else str(value)

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Check the value. An error about a value that was not typed says where it stands."""
        try:
            return super().process_value(ctx, value)
        except click.BadParameter as error:
            setting = ctx.meta.get(_key(self.name))
            if setting is None:
                raise
            message = f"{error.message.rstrip('.')} ({setting.origin})"
            raise click.BadParameter(message, ctx=error.ctx, param=error.param) from None


def _said(content: dict[str, Any], command: str | None, name: str) -> Iterator[tuple[Any, str]]:
    # The command's own section goes first.
    section = content.get(command or "", {})
    for table, where in ((section if isinstance(section, dict) else {}, f"[{command}] "), (content, "")):
        for key in (name, name.replace("-", "_")):
            if key in table:
                yield table[key], f"{where}{key}"


def origin_of(name: str) -> str | None:
    """Say where the option that a command knows as `name` was set; None: typed, or not at all."""
    setting = _setting(name)
    return None if setting is None else setting.origin


def is_typed(name: str) -> bool:
    """Tell whether the option `name` comes from the command line or the environment, not a file."""
    origin = origin_of(name)
    return origin is None or origin.startswith(_ENVIRONMENT)


def is_of_project(name: str) -> bool:
    """Tell whether only a project's settings file set the option `name`.

    Such a file often comes with a stranger's project, so this user did not choose its names.
    """
    setting = _setting(name)
    return setting is not None and setting.of_project


def _setting(name: str) -> ConfiguredSetting | None:
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(_key(name))


def _key(name: str | None) -> str:
    return f"{__name__}.{name}"


def is_yes(text: str) -> bool:
    return text.strip().lower() in _YES
