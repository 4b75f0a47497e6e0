"""What a recipe says that a draw costs: by scale, by options and by the size of the picture."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from blackbox_adapters._price_list import PriceList, blocks
from blackbox_adapters._recipe_format import PriceRow, Prices


def price_list(
    prices: Prices, scale: int, options: Mapping[str, Any], usd_per_unit: Decimal | None
) -> PriceList | None:
    """The list for draws at `scale` with `options`; None where no row is about them, or the currency has no rate.

    Parameters
    ----------
    usd_per_unit
        What a unit of the list's currency is in US dollars, where the user knows it; None = as the recipe says.
    """
    rate = Decimal(1) if prices.currency == "USD" else usd_per_unit or prices.usd_per_unit
    rows = [row for row in prices.all_rows if _is_about(row, scale, options)]
    if rate is None or not rows:
        return None
    in_credits = prices.currency == "credits"
    worth = rate if in_credits else Decimal(1)

    def amounts(output: Decimal) -> tuple[Decimal, Decimal]:
        size = output / scale**2 if prices.megapixels == "input" else output
        fits = (row for row in rows if row.up_to_megapixels is None or size <= row.up_to_megapixels)
        low, high = _amounts(next(fits, rows[-1]), size)
        return low * worth, high * worth

    return PriceList(
        amounts,
        "; ".join(filter(None, (_rule(prices, rows), f"a credit is {rate} USD" if in_credits else ""))),
        prices.source,
        prices.read_on,
        currency="USD" if in_credits else prices.currency,
        usd_per_unit=Decimal(1) if in_credits else rate,
    )


def _is_about(row: PriceRow, scale: int, options: Mapping[str, Any]) -> bool:
    wanted = row.options.items()
    return row.scale in (None, scale) and all(name in options and options[name] == value for name, value in wanted)


def _amounts(row: PriceRow, size: Decimal) -> tuple[Decimal, Decimal]:
    high = row.low if row.high is None else row.high
    if row.per_megapixels is None:
        return row.low, high
    exact = size / row.per_megapixels
    started = Decimal(blocks(size, row.per_megapixels))
    return row.low * (started if row.started else exact), high * (exact if row.started is False else started)


def _rule(prices: Prices, rows: Sequence[PriceRow]) -> str:
    """The rows in words; empty for one price."""
    if all(row.per_megapixels is None and row.up_to_megapixels is None for row in rows[:1]):
        return ""
    return f"by {prices.megapixels} megapixels: " + ", ".join(_words(row, prices.currency) for row in rows)


def _words(row: PriceRow, currency: str) -> str:
    amount = f"{row.low}" if row.high in (None, row.low) else f"{row.low} to {row.high}"
    each = "" if row.per_megapixels is None else f" for each {row.per_megapixels}"
    most = "" if row.up_to_megapixels is None else f" up to {row.up_to_megapixels}"
    return f"{amount} {currency}{each}{most}"
