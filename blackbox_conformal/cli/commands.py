"""The commands by purpose. Each is imported only when it runs, so that help is fast.

This file lists the commands of this folder. An entry point ``name = "package.module:command"`` in the group `GROUP`
announces every other command, also other packages'.
"""

import importlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

import click

from blackbox_conformal.errors import BlackboxConformalError, PluginError
from blackbox_conformal.support.catalog import is_ours

SECTIONS = {
    "Start": {
        "demo": "All of it on this machine: no key, no network, two minutes.",
        "start": "Six questions: the price, and the settings for your job.",
        "doctor": "Is this machine ready? Clock, proxy, disk, keys, adapters.",
    },
    "The job": {
        "plan": "What would a calibration cost? Before a cent is spent.",
        "calibrate": "From photographs to thresholds.",
        "mask": "From a new input to picture, trust mask and certificate.",
        "audit": "Does it hold on unseen photographs? Is a vendor's claim true?",
        "report": "One HTML file of a run folder, to hand on.",
        "view": "The pictures of a run folder at full size.",
        "layers": "A masked picture as layers for GIMP and Krita.",
        "geotiff": "Masks as GeoTIFFs in their place, and masks of large scenes.",
    },
    "In service": {
        "serve": "A calibrated vendor behind an HTTP server; its tokens.",
        "watch": "Is the vendor still the one that was calibrated?",
        "ledger": "What was paid for, and against an invoice.",
        "cache": "Answers that are stored.",
        "config": "Every setting and where it came from.",
    },
    "Hand over": {
        "verify": "Check certificates, claims, their files and who signed them.",
        "sign": "Sign a calibration or a certificate.",
        "key": "A key to sign with.",
    },
    "Choose": {
        "compare": "Which vendor, or which settings?",
        "tune": "Which score?",
        "check": "What did an answer change? Without a calibration.",
        "inputs": "Are your inputs like those of a calibration?",
        "degrade": "The inputs that a calibration would send, as files.",
        "annotate": "Import people's marks of where pictures differ in meaning.",
    },
    "Look up": {
        "list": "Adapters, scores, metrics, guarantees, and what one takes.",
        "adapters": "Check an adapter of your own.",
    },
}
"""The first screen of help, in the order in which a newcomer meets the commands."""

GROUP = "blackbox_conformal.commands"
_LISTED = {name for section in SECTIONS.values() for name in section}
_FURTHER = "From other packages"

_BESIDE = (
    *("start", "doctor", "plan", "calibrate", "mask", "audit", "ledger", "cache", "config", "verify", "sign", "key"),
    *("compare", "tune", "inputs", "check", "degrade", "list"),
)
"""Commands in files of this folder."""

RENAMED = {
    "serve-token": "serve token",
    "signing-key": "key",
    "annotations": "annotate",
    "adapters list": "list adapters",
    "adapters show": "list adapters",
    **{
        f"{kind}{word}": f"list {kind}"
        for kind in ("scores", "metrics", "guarantees", "degradations", "perturbations")
        for word in (" list", " show", "")
    },
}
"""What earlier commands are called now."""


class Group(click.Group):
    """A command that holds others; `alone` runs when none is named."""

    def __init__(self, name: str | None = None, *, alone: click.Command | None = None, **settings: object) -> None:
        super().__init__(name, **settings)  # type: ignore[arg-type]
        self.alone = alone
        if alone is not None:
            self.help, alone.epilog = alone.help, self.epilog

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List each command with its whole first sentence."""
        with formatter.section("Commands"):
            rows = []
            for name, command in sorted(self.commands.items()):
                sentence = " ".join((command.help or "").split()).partition(". ")[0]
                rows.append((name, f"{sentence.removesuffix('.')}."))
            formatter.write_dl(rows)


@cache
def _announced() -> Mapping[str, EntryPoint]:
    # Ours come first: another package can add a name, not take one.
    points = sorted(entry_points(group=GROUP), key=lambda point: (point.name not in _LISTED, not is_ours(point)))
    found: dict[str, EntryPoint] = {}
    for point in points:
        if point.name not in _BESIDE:
            found.setdefault(point.name, point)
    return found


def sections() -> dict[str, dict[str, str]]:
    """Return every command with its purpose, by section, without importing any; other packages' commands come last."""
    further = {
        name: str((point.dist.metadata["Summary"] if point.dist is not None else None) or point.value)
        for name, point in sorted(_announced().items())
        if name not in _LISTED
    }
    return {**SECTIONS, **({_FURTHER: further} if further else {})}


def names() -> list[str]:
    """Return every command in the order of the first screen of help."""
    return [name for section in sections().values() for name in section]


def find(name: str) -> click.Command | None:
    """Import and return the command called `name`; None if there is none."""
    if name in _BESIDE:
        command: click.Command = importlib.import_module(f"blackbox_conformal.cli.{name}").command
        return command
    if name not in _announced():
        if name in _LISTED:
            raise PluginError(f"the command {name} is not installed. Install this package again: pip install -e .")
        return None
    try:
        announced = _announced()[name].load()
    except BlackboxConformalError:
        raise
    except Exception as error:
        raise PluginError(f"command {name} ({_announced()[name].value}) cannot be loaded: {error}") from error
    if not isinstance(announced, click.Command):
        raise PluginError(f"command {name}: expected a click command at {_announced()[name].value}; got {announced!r}")
    return announced


@cache
def every_command() -> dict[str, click.Command]:
    """Import every command, by its words: ``serve``, ``serve token new``.

    Another package's broken command is left out, so that it does not stop the others.
    """
    found: dict[str, click.Command] = {}
    for name in names():
        try:
            found |= _within(name, find(name))
        except PluginError:
            if name in _LISTED:
                raise
    return found


def _within(words: str, command: click.Command | None) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        assert command is not None
        yield words, command
        return
    if isinstance(command, Group) and command.alone is not None:
        yield words, command.alone
    for name, inner in command.commands.items():
        yield from _within(f"{words} {name}", inner)
