"""US dollars as whole nano-dollars, which SQLite adds up without rounding."""

from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.text import dollars

_NANO = Decimal(1_000_000_000)
_MOST_USD = Decimal(2**62) / _NANO


@lru_cache(1024)
def to_nano(usd: Decimal) -> int:
    """`usd` in nano-dollars, rounded up so that nothing is booked too low."""
    if not usd.is_finite() or usd < 0 or usd > _MOST_USD:
        raise UsageError(f"expected a price in US dollars between 0 and 4 billion; got {usd}")
    return int((usd * _NANO).to_integral_value(rounding=ROUND_CEILING))


@lru_cache(1024)
def to_usd(nano: int) -> Decimal:
    """`nano` nano-dollars in US dollars, without trailing zeros; one value for many draws at one price."""
    usd = (Decimal(nano) / _NANO).normalize()
    return usd.quantize(Decimal(1)) if usd == usd.to_integral_value() else usd


def may_be_billed(costs: Sequence[Decimal | None]) -> str:
    """What is said of calls that were never answered, booked at these costs in US dollars (None: unknown)."""
    booked = f"booked at {dollars(sum(filter(None, costs), Decimal(0)))}"
    booked += f", {costs.count(None)} of them at an unknown price" if None in costs else ""
    which = f"{len(costs)} calls were" if len(costs) > 1 else "1 call was"
    return (
        f"{which} never answered and may have been billed ({booked}): `blackbox-conformal ledger settle INVOICE.csv`"
        " compares with the vendor's invoice"
    )
