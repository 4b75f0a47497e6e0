"""Price lists: what a vendor asks for a draw, by the size of the picture that it makes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_FLOOR, Decimal

from blackbox_conformal.vendor.adapter import Capabilities, Price

LARGEST = 512_000_000
"""Pixels of the largest picture that any of the vendors makes."""

Amounts = Callable[[Decimal], tuple[Decimal, Decimal]]
"""Megapixels of the output → lowest and highest price. Neither falls as the output grows."""


@dataclass(frozen=True, slots=True)
class PriceList:
    """What a vendor asks with given parameters.

    Attributes
    ----------
    amounts
        The list itself; a megapixel is a million pixels.
    rule
        The list in words.
    source, read_on
        Where the list was read, and when.
    unit
        Price of one unit that the vendor counts in what it bills; None = it names none.
    currency, usd_per_unit
        As in `Price`.
    """

    amounts: Amounts
    rule: str
    source: str
    read_on: date | None
    unit: Decimal | None = None
    currency: str = "USD"
    usd_per_unit: Decimal = Decimal(1)

    def of(self, pixels: int) -> Price:
        """Price of a draw whose picture has so many pixels."""
        return self._price(*self.amounts(Decimal(pixels) / 1_000_000))

    def over(self, able: Capabilities) -> Price:
        """Range over all pictures that these limits let through; the lowest price is rounded down to 0.0001."""
        scale = able.scale_factors[0]
        limits = (
            able.max_output_pixels,
            None if able.max_input_pixels is None else able.max_input_pixels * scale**2,
            None if able.max_side is None else (able.max_side * scale) ** 2,
            None if able.max_output_side is None else able.max_output_side**2,
        )
        # Prices never fall with size, so the smallest and the largest picture give the range.
        fewest = Decimal(((able.min_side or 1) * scale) ** 2) / 1_000_000
        most = Decimal(min([LARGEST, *(limit for limit in limits if limit is not None)])) / 1_000_000
        low = self.amounts(fewest)[0]
        # Down for the low end: a range may be too wide, and never too narrow.
        rounded = low.quantize(Decimal("0.0001"), ROUND_FLOOR)
        return self._price(low if low == rounded else rounded.normalize(), self.amounts(most)[1])

    def _price(self, low: Decimal, high: Decimal) -> Price:
        return Price(low, high, self.source, self.read_on, self.currency, self.usd_per_unit, self.rule)


def flat(amount: str, source: str, read_on: date) -> PriceList:
    """The same price for every size."""
    usd = Decimal(amount)
    return PriceList(lambda _: (usd, usd), "the same for every size", source, read_on, usd)


def per_megapixel(amount: str, source: str, read_on: date) -> PriceList:
    """So much for each megapixel of the output; whether a part is billed as a whole is not documented."""
    usd = Decimal(amount)
    rule = f"by output megapixels: {amount} USD each; a part of one may be billed as a whole"
    # The low end as if parts were billed by their size, the high end as if each begun megapixel were billed.
    return PriceList(lambda size: (usd * size, usd * blocks(size, 1)), rule, source, read_on, usd)


def tiers(steps: tuple[tuple[int, str], ...], source: str, read_on: date) -> PriceList:
    """Prices up to so many megapixels of the output, in rising order; what is larger costs as the last one."""

    def amounts(size: Decimal) -> tuple[Decimal, Decimal]:
        # What is larger than the last tier costs at least as much as that.
        usd = Decimal(next((amount for most, amount in steps if size <= most), steps[-1][1]))
        return usd, usd

    words = ", ".join(f"{amount} USD up to {most}" for most, amount in steps)
    return PriceList(amounts, f"by output megapixels: {words}", source, read_on)


def blocks(size: Decimal, block: Decimal | int) -> int:
    """Started blocks of so many megapixels, at least one."""
    return max(1, math.ceil(size / block))
