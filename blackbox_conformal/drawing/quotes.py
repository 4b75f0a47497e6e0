"""What the vendor itself asks for a draw, where it can be asked: a free request for each size of picture."""

from collections.abc import Callable, Iterable
from decimal import Decimal

from blackbox_conformal.drawing.desk import PATIENCE_S, Desk
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.errors import AdapterError, PayloadError, UsageError
from blackbox_conformal.vendor.adapter import Adapter, Upload

_LATE = "no price", "ask again later, or leave --quote out to plan by the price list"


def ask_quotes(
    adapter: Adapter,
    uploads: Iterable[Upload],
    limits: Limits | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    *,
    patience_s: float = PATIENCE_S,
) -> dict[tuple[int, int], Decimal]:
    """(width, height) → US dollars a draw as the vendor quotes it now, for every size among `uploads`.

    Parameters
    ----------
    limits
        As of a run; one exchange takes `patience_s` at most.
    patience_s
        Seconds after which no request for the price of one size is begun and no pause is waited for any more.
    """
    # One picture of each size, since prices go by size.
    sizes = {(upload.width, upload.height): upload for upload in uploads}
    if any(adapter.quote(upload) is None for upload in sizes.values()):
        raise UsageError(
            f"adapter {adapter.name} has no way of asking its vendor for a price; leave --quote out to plan by its"
            " price list"
        )
    opened = adapter.open()
    try:
        with Desk(opened, limits or Limits(), patience_s) as desk:
            prices = {}
            for number, (size, upload) in enumerate(sizes.items(), start=1):
                progress("quotes", number, len(sizes))
                prices[size] = _price(opened, desk, upload)
            return prices
    finally:
        opened.close()


def _price(adapter: Adapter, desk: Desk, upload: Upload) -> Decimal:
    """The price of one draw of `upload`."""
    steps = adapter.quote(upload)
    if steps is None:
        raise AdapterError(f"adapter {adapter.name} had a quote for this picture a moment ago, and has none")
    price: object = desk.ask(steps, "quote", _LATE)
    # A price that is no amount would make a plan that is no plan.
    if not isinstance(price, Decimal) or not price.is_finite() or price < 0:
        raise PayloadError(f"expected a price in US dollars from the vendor; got {str(price)[:80]!r}")
    return price
