"""The most that everything with a ledger may cost, on whichever machine it is drawn; it stands in the ledger itself."""

from contextlib import closing
from decimal import Decimal

from blackbox_conformal.drawing.job_budget import Totals
from blackbox_conformal.drawing.ledger.address import Address
from blackbox_conformal.drawing.ledger.attempts import AttemptSpec
from blackbox_conformal.drawing.ledger.postgres.database import as_ledger_error, connect_at_last
from blackbox_conformal.drawing.ledger.postgres.postgres_schema import migrate
from blackbox_conformal.drawing.money import to_nano, to_usd
from blackbox_conformal.errors import BudgetError


def require_room(limit_nanousd: int, totals: Totals, spec: AttemptSpec, price_nanousd: int, address: Address) -> None:
    """Refuse a submission of this price beside these totals of the ledger, or one of unknown price."""
    if totals.spent + totals.reserved + price_nanousd <= limit_nanousd and (price_nanousd or spec.priced):
        return
    costs = f"up to {to_usd(price_nanousd)} USD" if price_nanousd or spec.priced else "an unknown amount"
    raise BudgetError(
        f"the next draw costs {costs}, with {to_usd(totals.spent)} spent and {to_usd(totals.reserved)} reserved of"
        f" {to_usd(limit_nanousd)} that everything with the ledger {address} may cost together; to raise that:"
        f" blackbox-conformal ledger limit USD --ledger {address}"
    )


def set_limit(address: Address, limit_usd: Decimal | None) -> None:
    """Let all draws of a ledger cost so much; None: any amount. Processes that draw now keep to it at once."""
    with as_ledger_error(address), closing(connect_at_last(address)) as connection:
        # Raising the limit of a ledger that does not exist yet makes it.
        migrate(connection, address)
        limit = None if limit_usd is None else to_nano(limit_usd)
        connection.execute("UPDATE total SET limit_nanousd = ?", (limit,))
