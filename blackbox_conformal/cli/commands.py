"""The commands by what they are for. A command's module is imported when the command runs, so that help is fast."""

import importlib
from collections.abc import Iterator
from functools import cache

import click

SECTIONS = {
    "Start": {
        "demo": "All of it on this machine: no key, no network, two minutes.",
        "doctor": "Is this machine ready? Clock, proxy, disk, keys, adapters.",
    },
    "The job": {
        "plan": "What would a calibration cost? Before a cent is spent.",
        "calibrate": "From photographs to thresholds.",
        "mask": "From a new input to picture, trust mask and certificate.",
        "audit": "Does it hold on photographs that it has not seen?",
        "report": "One HTML file of a run folder, to hand on.",
        "view": "The pictures of a run folder at full size.",
    },
    "In service": {
        "serve": "A calibrated vendor behind an HTTP server; its tokens.",
        "watch": "Is the vendor still the one that was calibrated?",
        "ledger": "What was paid for, and against an invoice.",
        "cache": "Answers that are stored.",
        "config": "Every setting and where it came from.",
    },
    "Hand over": {
        "verify": "Check certificates, their files and who signed them.",
        "sign": "Sign a calibration or a certificate.",
        "key": "A key to sign with.",
    },
    "Choose": {
        "compare": "Which vendor, or which settings?",
        "tune": "Which score?",
        "inputs": "Are your inputs like those of a calibration?",
        "degrade": "The inputs that a calibration would send, as files.",
        "annotate": "Let people mark where pictures differ in meaning.",
    },
    "Look up": {
        "list": "Adapters, scores, metrics, guarantees, and what one takes.",
        "adapters": "Check an adapter of your own.",
    },
}
"""What the first screen of help shows, in the order in which a newcomer meets it."""

COMMANDS = {name: summary for section in SECTIONS.values() for name, summary in section.items()}

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
    """A command that holds others.

    Attributes
    ----------
    alone
        The command that runs when none of these is named; None: one has to be.
    """

    def __init__(self, name: str | None = None, *, alone: click.Command | None = None, **settings: object) -> None:
        super().__init__(name, **settings)  # type: ignore[arg-type]
        self.alone = alone
        if alone is not None:
            self.help, alone.epilog = alone.help, self.epilog

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One entry for each command, with the whole first sentence, folded where it is long."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, _first_sentence(command.help or "")) for name, command in sorted(self.commands.items())]
            )


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].removesuffix(".") + "."


def find(name: str) -> click.Command | None:
    """The command called `name`, imported now; None where there is none."""
    if name not in COMMANDS:
        return None
    command: click.Command = importlib.import_module(f"blackbox_conformal.cli.{name}").command
    return command


@cache
def every_command() -> dict[str, click.Command]:
    """Every command that can run, by its words: ``serve``, ``serve token new``; imports them all."""
    return {words: command for name in COMMANDS for words, command in _within(name, find(name))}


def _within(words: str, command: click.Command | None) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        assert command is not None
        yield words, command
        return
    if isinstance(command, Group) and command.alone is not None:
        yield words, command.alone
    for name, inner in command.commands.items():
        yield from _within(f"{words} {name}", inner)
