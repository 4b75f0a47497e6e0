"""Turn keywords and options into checked settings, a set-up, limits and terms."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.drawing.events import Event
from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.errors import UsageError
from blackbox_conformal.study.job import Terms
from blackbox_conformal.study.listeners import Display, Listeners, shown_progress
from blackbox_conformal.study.run_folder import usual_folder
from blackbox_conformal.study.settings_table import (
    REMOVED,
    JobSettings,
    ProcedureSettings,
    SessionSettings,
    Setting,
    described,
)
from blackbox_conformal.study.stages.cluster import Cluster
from blackbox_conformal.study.stages.defaults import preset_settings
from blackbox_conformal.study.stages.settings import Setup, set_up
from blackbox_conformal.vendor.adapter import Adapter

Command = TypeVar("Command", bound=Callable[..., Any])


def named_keywords(command: Command) -> Command:
    """Give `command` the keywords that the class in its ``**settings: Unpack[…]`` describes.

    Signature and documentation name them, so editors and `help` show them. The command refuses unknown keywords, with
    the nearest known one, and values that none may have; it takes None for "not given". It gets every default but
    three: those of procedure and job, whose absence says that the user did not choose; `progress` as a function; and
    `cluster` open.
    """
    signature = inspect.signature(command)
    parameters = dict(signature.parameters)
    del parameters["settings"]
    unpacked = get_args(inspect.signature(command, eval_str=True).parameters["settings"].annotation)[0]
    known = described(unpacked)
    undecided = ProcedureSettings.__annotations__ | JobSettings.__annotations__
    own = {key: each.default for key, each in known.items() if key not in undecided}
    for key, setting in known.items():
        kind = get_args(unpacked.__annotations__[key])[0]
        written = str(getattr(kind, "__forward_arg__", getattr(kind, "__name__", kind)))
        if setting.default is None and "None" not in written:
            written = f"{written} | None"
        only = inspect.Parameter.KEYWORD_ONLY
        parameters[key] = inspect.Parameter(key, only, default=setting.default, annotation=written)
    needed = [key for key, each in parameters.items() if each.default is each.empty and key != "self"]

    @functools.wraps(command)
    def checked(*given: Any, **keywords: Any) -> Any:
        name = command.__qualname__.removesuffix(".__init__")
        refuse_unknown(name, keywords, parameters)
        all_given = {**dict(zip(parameters, given, strict=False)), **keywords}
        for key in needed:
            if all_given.get(key) is None:
                example = "alpha=0.1, the risk that is accepted" if key == "alpha" else f"{key}=…"
                raise UsageError(f"{name}: expected {', '.join(needed)}; got no {key}. Give {example}")
        settings = {**{key: default for key, default in own.items() if default is not None}, **read(keywords, known)}
        if "progress" not in parameters:
            return command(*given, **settings)
        with ExitStack() as stack:
            if "cluster" in settings:
                settings["cluster"] = stack.enter_context(Cluster(settings["cluster"], settings.get("memory")))
            step = stack.enter_context(shown_progress(settings.pop("progress", None)))
            if isinstance(step, Display) and "listener" in parameters:
                listeners = [step.event, *filter(None, [settings.get("listener")])]

                def tell_all(event: Event) -> None:
                    for listener in listeners:
                        listener(event)

                settings["listener"] = tell_all
            return command(*given, progress=step, **settings)

    checked.__signature__ = signature.replace(parameters=list(parameters.values()))  # type: ignore[attr-defined]
    before, raises, after = (inspect.getdoc(command) or "").partition("\nRaises\n------")
    before = re.sub(r"\nsettings\n(?:    .*\n|\n(?=    ))+", "\n", before + "\n").rstrip()
    entries = "".join(
        f"{name}\n    {setting.help}{f' By default {setting.usual}.' if setting.usual else ''}\n"
        for name, setting in known.items()
    )
    checked.__doc__ = f"{before}\n\nOther Parameters\n----------------\n{entries}{raises}{after}"
    return cast(Command, checked)


def read(settings: Mapping[str, Any], known: Mapping[str, Setting]) -> dict[str, Any]:
    """Read each `known` setting by its kind, put a preset's settings in its place, and leave out None."""
    given = {key: value for key, value in settings.items() if value is not None}
    preset = given.pop("preset", None)
    of_preset = {} if preset is None else preset_settings(preset)
    given = {**{key: value for key, value in of_preset.items() if key in known}, **given}
    return {key: known[key].of(value, key) if key in known else value for key, value in given.items()}


def refuse_unknown(name: str, keywords: Iterable[str], taken: Collection[str]) -> None:
    """Refuse a keyword that the command `name` does not take."""
    for key in keywords:
        if key not in taken:
            near = difflib.get_close_matches(key, taken, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it takes {', '.join(sorted(taken))}"
            raise UsageError(f"{name} takes no parameter {key!r}; {REMOVED.get(key, hint)}")


def setup_of(vendor: Adapter, settings: Mapping[str, Any]) -> Setup:
    """Return the set-up of settings that `read` returned; errors as for `set_up`."""
    chosen = {
        name: settings[name] for name in ProcedureSettings.__annotations__ if name in settings and name != "preset"
    }
    second, guarantee = chosen.pop("second_adapter", None), settings.get("guarantee")
    return set_up(vendor, second=second, guarantee=guarantee, **chosen)


def terms_of(folder: Path, settings: Mapping[str, Any]) -> Terms:
    """Return the terms of settings, with draws in `folder` unless they name another; errors as `limits_of`."""
    listeners = {name: settings[name] for name in ("listener", "progress", "on_sampler") if name in settings}
    folder = Path(settings.get("run", folder))
    place(folder, settings)
    if isinstance(progress := settings.get("progress"), Display):
        progress.keep_in(folder)
    cluster: Cluster | None = settings.get("cluster")
    memory = settings.get("memory") if cluster is None else cluster.memory_for_one
    told, check = Listeners(**listeners), settings.get("check", False)
    return Terms(folder, limits_of(settings), memory, settings.get("ask"), told, cluster=cluster, check=check)


def place(folder: Path, settings: Mapping[str, Any]) -> None:
    """Place a run folder's ledger as settings say."""
    if settings.get("ledger") is not None:
        LEDGERS.place(folder, settings["ledger"])


def calibrated(calibration: Calibration | str | Path, settings: Mapping[str, Any]) -> tuple[Calibration, Terms]:
    """Return the calibration, and the terms of a job with it: in its own run folder unless settings name another."""
    path = None if isinstance(calibration, Calibration) else Path(calibration)
    loaded = calibration if isinstance(calibration, Calibration) else Calibration.load(calibration)
    return loaded, terms_of(usual_folder(loaded.procedure, path), settings)


def limits_of(settings: Mapping[str, Any]) -> Limits:
    """Return the limits of settings."""
    known = {name: setting for name, setting in described(SessionSettings).items() if setting.limit}
    given = read({name: settings[name] for name in known if name in settings}, known)
    limits: Limits = settings.get("limits", Limits())
    return replace(limits, **{known[name].limit: value for name, value in given.items()})


def levels_of(alpha: Any) -> tuple[float, ...]:
    """Return one level or several as a tuple; empty for None."""
    if alpha is None:
        return ()
    # A text is a collection, too: whoever checks levels refuses it whole.
    return tuple(alpha) if isinstance(alpha, Collection) and not isinstance(alpha, str) else (alpha,)
