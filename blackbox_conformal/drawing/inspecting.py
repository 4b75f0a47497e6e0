"""What a vendor publishes of itself, read once before the first paid draw of a run."""

from blackbox_conformal.drawing.desk import PATIENCE_S, Desk
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.errors import NotFoundError
from blackbox_conformal.support.text import clean
from blackbox_conformal.vendor.adapter import Adapter

_LATE = "nothing of itself", "the same command asks again later"


def inspect_vendor(adapter: Adapter, limits: Limits) -> str | None:
    """What an open adapter took from what its vendor publishes, in words; None where there is nothing to say."""
    refuse_retired(adapter)
    steps = adapter.inspect()
    if steps is None:
        return None
    with Desk(adapter, limits, PATIENCE_S) as desk:
        told = desk.ask(steps, "lookup", _LATE)
    return None if told is None else clean(told)


def refuse_retired(adapter: Adapter) -> None:
    """Raise `NotFoundError` if the vendor does not offer any more what the adapter asks for."""
    retired = adapter.capabilities.retired
    if retired:
        model = "another model with -p model=…, or " if "model" in type(adapter).model_fields else ""
        raise NotFoundError(
            f"adapter {adapter.name} asks for a service that its vendor has retired ({retired}), so nothing is sent;"
            f" choose {model}another adapter: blackbox-conformal list adapters"
        )
