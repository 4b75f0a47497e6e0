"""Typed values of options, read by the kinds of settings; and addresses."""

import os
from collections.abc import Sequence
from typing import Any

import click

from blackbox_conformal.errors import UsageError
from blackbox_conformal.support import value_kinds
from blackbox_conformal.support.value_kinds import BYTES, LEVEL, SHARE, USD, Kind, number
from blackbox_conformal.support.wording import as_typed


class Value(click.ParamType):  # type: ignore[type-arg] # takes none in click 8.2
    def __init__(self, kind: Kind) -> None:
        self.kind, self.name = kind, kind.metavar

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert what was typed; an error names the option."""
        try:
            return self.kind.of(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return self.kind.metavar


usd, level, share, number_of_bytes = Value(USD), Value(LEVEL), Value(SHARE), Value(BYTES)
days = Value(number(0, inside=True))


def whole(low: int, high: int | None = None) -> Value:
    """A whole number from `low` to `high`."""
    return Value(value_kinds.whole(low, high))


def ledger_address(text: str) -> str:
    """Return a ledger's address; a password comes only from the environment, where others do not see it."""
    from blackbox_conformal.drawing.ledger.addresses import VARIABLE, Address

    try:
        address = Address.of_text(text)
    except UsageError as error:
        raise click.BadParameter(str(error)) from None
    if address.password is not None and os.environ.get(VARIABLE) != text:
        raise click.BadParameter(
            f"expected no password in an address that is typed, which every user of this machine can see; set "
            f"PGPASSWORD or PGPASSFILE, or the whole address in {VARIABLE}"
        )
    return text


def cluster_place(text: str) -> str:
    from blackbox_conformal.study.stages.cluster import checked_place

    try:
        return checked_place(text)
    except UsageError as error:
        raise click.BadParameter(str(error)) from None


def vendor_parameters(pairs: Sequence[str]) -> dict[str, str]:
    """Read `KEY=VALUE` options into a dictionary."""
    parameters: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            raise UsageError(f"expected -p KEY=VALUE; got {pair!r}")
        if key in parameters:
            raise UsageError(f"-p {as_typed(key)} is given twice; give it once")
        parameters[key] = value
    return parameters
