"""What one draw costs, as a vendor publishes it."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Price:
    """Price of one draw, as a range, with where and when it was read.

    Attributes
    ----------
    low, high
        The range, in `currency`.
    source, read_on
        Where the price, and the rate of its currency, were read, and when.
    currency, usd_per_unit
        ISO 4217 code of the currency of `low` and `high`, and what one unit of it is in US dollars.
    rule
        What the price depends on, in words, such as ``by output megapixels: 0.03 USD each``; empty = on nothing.
    """

    low: Decimal
    high: Decimal
    source: str
    read_on: date | None = None
    currency: str = "USD"
    usd_per_unit: Decimal = Decimal(1)
    rule: str = ""

    @property
    def low_usd(self) -> Decimal:
        """`low` in US dollars."""
        return self.low * self.usd_per_unit

    @property
    def high_usd(self) -> Decimal:
        """`high` in US dollars."""
        return self.high * self.usd_per_unit


FREE = Price(Decimal(0), Decimal(0), "nothing is billed")
