"""What is typed as the value of an option, read: amounts, levels, sizes, rates and addresses."""

import os
import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Literal

import click

from blackbox_conformal.errors import UsageError

if TYPE_CHECKING:
    from blackbox_conformal.rates import Rate


def usd(text: str) -> Decimal:
    """An amount of US dollars, exact."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise click.BadParameter(f"expected an amount of US dollars such as 12.50; got {text!r}") from None
    if not amount.is_finite() or amount < 0:
        raise click.BadParameter(f"expected an amount of at least 0; got {text!r}")
    return amount


def level(text: str) -> float:
    """A level of at least 0. The guarantee decides whether 0 is a level."""
    try:
        value = float(text)
    except ValueError:
        raise click.BadParameter(f"expected a level such as 0.1; got {text!r}") from None
    if not 0 <= value < float("inf"):
        raise click.BadParameter(f"expected a level of at least 0; got {text!r}")
    return value


_UNITS = {"MB": 10**6, "GB": 10**9, "MIB": 2**20, "GIB": 2**30}


def number_of_bytes(text: str) -> int:
    """An amount of memory with its unit, in bytes."""
    amount = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*([MG]i?B)", text.strip(), re.IGNORECASE)
    if amount is None:
        raise click.BadParameter(f"expected an amount with its unit, MB, GB, MiB or GiB, such as 2GB; got {text!r}")
    return int(Decimal(amount[1]) * _UNITS[amount[2].upper()])


def workers(text: str) -> "int | Literal['auto']":
    """A number of concurrent calls, or ``auto``."""
    if text == "auto":
        return "auto"
    try:
        number = int(text)
    except ValueError:
        raise click.BadParameter(f"expected a whole number or 'auto'; got {text!r}") from None
    if not 1 <= number <= 256:
        raise click.BadParameter(f"expected 1 to 256 or 'auto'; got {text!r}")
    return number


def request_rate(text: str) -> "Rate":
    """A request rate such as ``50/hour``."""
    from blackbox_conformal.rates import Rate

    try:
        return Rate.of_text(text)
    except UsageError as error:
        raise click.BadParameter(str(error)) from None


def ledger_address(text: str) -> str:
    """The address of a ledger; with a password in it only from the environment, where other users do not see it."""
    from blackbox_conformal.sampling.ledger.address import VARIABLE, Address

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


def store_address(text: str) -> str:
    """The address of a store, or the path of a folder."""
    from blackbox_conformal.sampling.ledger.store_address import normal

    try:
        return normal(text)
    except UsageError as error:
        raise click.BadParameter(str(error)) from None
