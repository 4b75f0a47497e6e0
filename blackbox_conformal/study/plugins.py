"""Find adapters by name, and describe adapters and other plug-ins for the command line."""

from __future__ import annotations

import inspect
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from blackbox_conformal.errors import AdapterError, PluginError, UsageError
from blackbox_conformal.method.degradations.parameter_range import Range
from blackbox_conformal.support import catalog
from blackbox_conformal.support.catalog import Listing
from blackbox_conformal.support.wording import option_words
from blackbox_conformal.vendor.adapter import Adapter, Capabilities
from blackbox_conformal.vendor.example import example_of


def adapter_names() -> list[str]:
    """Return the names that ``--adapter`` takes and names of broken plug-ins, sorted; imports no adapter."""
    return sorted({listing.name for listing in catalog.listings("adapters")})


def adapter_class(name: str) -> type[Adapter]:
    """Return the adapter called `name`, or at ``package.module:Class``."""
    if ":" in name:
        adapter = catalog.imported("adapters", name, f"adapter {name}")
    else:
        adapter = catalog.member("adapters", name.strip().lower().replace("_", "-"))
    if not isinstance(getattr(adapter, "name", None), str):
        raise AdapterError(f"adapter {name}: {adapter.__module__} does not set `name`")
    return adapter


def installed_adapter_class(name: Any, where: str) -> type[Adapter]:
    """Return the adapter that a file names: one that an installed package announces, and never a module to import.

    `where`: The file and the place in it, for the message, such as ``adapter in calibration.json``.
    """
    refuse_import(name, where)
    return adapter_class(name)


def refuse_import(name: Any, where: str, option: str = "adapter") -> None:
    """Refuse a text in a file that is not an adapter's name, above all a class to import."""
    if not isinstance(name, str):
        raise UsageError(f"{where}: expected the name of an installed adapter; got {name!r}")
    if ":" in name:
        raise UsageError(
            f"{where}: expected the name of an installed adapter; got {name!r}, and a file may not name code to run. "
            f"If you trust it, type --{option} {name}"
        )


def load_adapter(name: str, /, **parameters: Any) -> Adapter:
    """Return the adapter called `name` with its parameters, ready to draw once opened.

    Parameters
    ----------
    name
        As in ``blackbox-conformal list adapters``, or ``package.module:Class``.
    parameters
        The adapter's own, as in ``list adapters NAME``; text is converted.

    Raises
    ------
    UsageError
        No such adapter or parameter; the message lists all that exist.
    AdapterError
        The adapter is broken.
    """
    chosen: type[Any] = adapter_class(name)
    adapter: Adapter = catalog.build(chosen, f"adapter {name}", parameters)
    return adapter


def from_function(
    name: str,
    function: Callable[..., Any],
    *,
    scale: int = 4,
    version: str = "1",
    degradation: str = "bicubic",
    test_side: int = 64,
    concurrency: int = 1,
) -> Adapter:
    """Make a vendor of a function of this program, such as a network on this machine.

    Its answers are stored like paid ones, and none is computed twice. A calibration keeps name and version and no code:
    a later program gives the function again under both.

    Parameters
    ----------
    name, version
        Your words for the function; both are part of the procedure. Raise the version whenever the function changes.
    function
        From an (h, w, 3) uint8 picture to one that is `scale` times as large: uint8, or numbers from 0 to 1. A
        parameter ``seed``, if it has one, gets the draw's seed; the function must answer alike for one seed.
    degradation
        What the function undoes, as typed for ``--degradation``.
    test_side
        Side of a fixed picture. Each program has the function answer it twice before the first draw, and certificates
        name a summary of the answer. A function that answers otherwise than calibrated is refused. 0: no test.
    concurrency
        Calls that the function bears at once, each from a thread of its own.

    Raises
    ------
    UsageError
        A name, version or number cannot be used.
    """
    if not callable(function):
        raise UsageError(f"expected a function from picture to picture for {name}; got {type(function).__name__}")
    seeded = False
    with suppress(ValueError, TypeError):
        seeded = "seed" in inspect.signature(function).parameters
    adapter: Any = load_adapter(
        "function",
        model=name,
        model_version=version,
        scale=scale,
        seeded=seeded,
        degradation=degradation,
        test_side=test_side,
        concurrency=concurrency,
    )
    bound: Adapter = adapter.calling(function)
    return bound


def cascade(*vendors: Adapter, rules: Sequence[Mapping[str, Any]], floor: float | None = None) -> Adapter:
    """Join vendors into one, the cheapest first: a picture goes on to the next one where an answer does not suffice.

    Parameters
    ----------
    vendors
        From `load_adapter` or `from_function`. A vendor that is given again draws again.
    rules
        For each vendor but the last, when its answer suffices: ``{"below": 0.2, "at_least": 0.6}``, where at least
        that share of pixels has a score below 0.2, or ``{"at_most": 0.3}`` or ``{"at_least": 0.3}``, which the mean
        score keeps; with ``"score"`` for another than `predicted-invention`. With ``"tile": 64``, the cascade judges
        tiles of so many pixels of the input, and passes them on, one by one. Fit the rule on photographs that do not
        calibrate.
    floor
        PSNR in dB: certificates say whether what they certify reaches it.

    Raises
    ------
    UsageError
        There are fewer than two vendors, or not a rule for each but the last.
    """
    return load_adapter("cascade", vendors=vendors, rules=tuple(rules), floor=floor)


def describe(name: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what ``list adapters NAME`` says, as JSON-ready values.

    Capabilities are for `parameters`, which may be text. The adapter's example stands in for a required parameter that
    is missing; ``assumed`` holds each such value that makes a difference. ``key_options`` holds the options with which
    the key is sent, unless it is sent anyway. ``jobs`` says whether the vendor works with jobs; None: not known.
    ``error`` is None, or says why the adapter cannot be used; nothing else is then known.
    """
    listing = next((each for each in catalog.listings("adapters") if each.name == name), None)
    described: dict[str, Any] = {"name": name, "origin": listing.origin if listing else "", "error": None}
    try:
        adapter = adapter_class(name)
    except AdapterError as error:
        return {**described, "error": str(error)}
    given = dict(parameters or {})
    example, assumed = example_of(adapter), assumed_parameters(adapter, given)
    fields, transient = adapter.model_fields, adapter.transient
    sending_key = {name: value for name, value in adapter.key_parameters.items() if not fields[name].default}
    return {
        **described,
        "version": adapter.version,
        "class": f"{adapter.__module__}:{adapter.__qualname__}",
        "summary": inspect.getdoc(adapter) or "",
        "documentation": adapter.documentation,
        "evidence": adapter.evidence,
        "auth_variable": adapter.auth_variable,
        "key_options": shlex.join(option_words(sending_key)),
        "seeds_by_model": bool(getattr(adapter, "seeds_by_model", False)),
        "jobs": None if example is None else example.polls is not None,
        "uncertain": list(getattr(adapter, "uncertain", ())),
        "parameters": [
            {**one, "identifies": one["name"].replace("-", "_") not in transient} for one in _parameters(adapter)
        ],
        "assumed": _plain({key: value for key, value in assumed.items() if example and key != example.address}),
        "capabilities": _plain(_figures(adapter, given, assumed)),
    }


def readiness(name: str) -> tuple[str, str]:
    """Return "note" for an adapter that does not load, "no key" without its key, else "ok"; and say why.

    `name`: Of the adapter, or ``package.module:Class``.
    """
    described = describe(name)
    if described["error"]:
        return "note", f"does not load: {described['error']}"
    variable = described["auth_variable"]
    # The key is off by default, so the vendor may answer without one.
    optional = bool(described["key_options"])
    if not variable:
        state, key = "ok", "no key needed"
    elif os.environ.get(variable) or os.environ.get(f"{variable}_FILE"):
        state, key = "ok", f"{variable} is set"
    else:
        state = "ok" if optional else "no key"
        key = f"{variable} is not set" + (", and is needed only where the vendor asks for one" if optional else "")
    return state, f"{key}; from {described['origin']}"


def assumed_parameters(adapter: type[Adapter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return required parameters that are not `given`, from the adapter's example; an address is one of loopback."""
    example = example_of(adapter)
    if example is None:
        return {}
    shown = {**example.parameters, example.address: "http://127.0.0.1:9"}
    required = (key for key, field in adapter.model_fields.items() if field.is_required())
    return {key: shown[key] for key in required if key in shown and key not in given}


_NAMES = r"`\w+`(?:, `\w+`)*"  # Parameters in a docstring, before a colon and what they are.


def describe_member(family: str, listing: Listing) -> dict[str, Any]:
    """Return what ``list scores NAME`` and its like say, as JSON-ready values, from docstrings and fields.

    ``error`` is None, or says why the member cannot be used; nothing else is then known. ``facts`` are for the default
    parameters.
    """
    described: dict[str, Any] = {"name": listing.name, "origin": listing.origin, "error": listing.error}
    if listing.error is not None:
        return described
    try:
        member: type[catalog.Plugin] = catalog.member(family, listing.name)
    except PluginError as error:
        return {**described, "error": str(error)}
    attributes: dict[str, str] = {}
    for kind in reversed(member.__mro__):
        text = inspect.cleandoc(kind.__doc__ or "")
        _, _, section = text.partition("Attributes\n----------\n")
        told = re.findall(r"^(\S.*)\n((?:[ ]{4}.*\n?|\n)+)", section, re.M)
        for names, said in told + re.findall(rf"^({_NAMES}): (.*(?:\n[ ]{{2}}.*)*)", text, re.M):
            attributes.update(dict.fromkeys(re.findall(r"\w+", names), " ".join(said.split())))
    return {
        **described,
        "class": f"{member.__module__}:{member.__qualname__}",
        "summary": re.split(rf"\n+(?:\S+\n-{{3,}}\n|{_NAMES}: )", inspect.cleandoc(member.__doc__ or ""))[0].strip(),
        "facts": _facts(member),
        "parameters": [
            {**parameter, "help": parameter["help"] or attributes.get(parameter["name"].replace("-", "_"), "")}
            for parameter in _parameters(member)
        ],
    }


def _facts(member: type[catalog.Plugin]) -> dict[str, str]:
    """Return facts of the default parameters; where one is required, the facts that follow from the others."""
    for build in (member, member.model_construct):
        try:
            return build().facts()
        except Exception:  # noqa: BLE001 - a foreign class may fail in any way, and the others must still be listed
            continue
    return {}


def _parameters(kind: type[BaseModel]) -> Iterator[dict[str, Any]]:
    for name, field in kind.model_fields.items():
        default = None if field.default is PydanticUndefined else field.default
        if field.default_factory is not None:
            default = field.get_default(call_default_factory=True, validated_data={})
        yield {
            "name": name.replace("_", "-"),
            "type": _type_name(field.annotation),
            "required": field.is_required(),
            "default": _plain(default),
            "help": field.description or "",
        }


def _type_name(annotation: Any) -> str:
    if annotation is Range:
        return "number | range"
    if isinstance(annotation, type) and not get_args(annotation):
        return "none" if annotation is NoneType else annotation.__name__
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _type_name(parts[0])
    if get_origin(annotation) is Callable:
        return "function"
    if get_origin(annotation) is Literal:
        return " | ".join(str(part) for part in parts)
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(_type_name(part) for part in parts)
    return str(annotation).replace("typing.", "")


def _figures(kind: type[Adapter], given: Mapping[str, Any], assumed: Mapping[str, Any]) -> dict[str, Any]:
    """Return capabilities with these parameters; without any, with the defaults, else with the whole example."""
    chosen: type[Any] = kind
    if given:
        return _capabilities(catalog.build(chosen, f"adapter {kind.name}", {**assumed, **given}))
    example = example_of(kind)
    exemplary = {} if example is None or not assumed else {**example.parameters, **assumed}
    for build in (chosen, chosen.model_construct):
        try:
            return _capabilities(build(**exemplary))
        except (AttributeError, ValueError, TypeError):
            continue
    return asdict(Capabilities(scale_factors=()))


def _capabilities(adapter: Adapter) -> dict[str, Any]:
    """Return capabilities, with the range of the price in US dollars and whether a picture's size changes it."""
    able = adapter.capabilities
    price = able.price and {
        **asdict(able.price),
        "low_usd": able.price.low_usd,
        "high_usd": able.price.high_usd,
        "by_size": adapter.price_for(1, 1) != able.price,
    }
    return {"seedable": able.seedable, **asdict(able), "price": price, "unpriced": adapter.unpriced}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Range):
        return str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
