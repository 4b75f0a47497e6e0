"""`check_adapter`: everything that the contract asks of an adapter, in one list of results.

They are in `static_contract` (no socket), `fault_contract` (the sampler and a misbehaving vendor) and
`declared_contract` (the sampler and what the adapter says of its vendor).
"""

from blackbox_conformal.drawing.inspecting import refuse_retired
from blackbox_conformal.errors import AdapterError, BlackboxConformalError, UsageError
from blackbox_conformal.study.plugins import adapter_class
from blackbox_conformal.testing.declared_contract import declared_checks
from blackbox_conformal.testing.fault_contract import fault_checks
from blackbox_conformal.testing.rehearsal import environment
from blackbox_conformal.testing.static_contract import static_checks
from blackbox_conformal.testing.subject import CheckResult, Subject
from blackbox_conformal.vendor.adapter import Adapter
from blackbox_conformal.vendor.example import Example, example_of

__all__ = ["CheckResult", "check_adapter"]


def check_adapter(
    adapter: str | type[Adapter], example: Example | None = None, *, faults: bool = True
) -> list[CheckResult]:
    """Check an adapter against its contract.

    Parameters
    ----------
    adapter
        The adapter's name (or ``package.module:Class``), or its class.
    example
        One exchange of it; by default the `EXAMPLE` of its module (or `example` of the class).
    faults
        Also let the sampler draw from a misbehaving vendor on a loopback socket; some seconds.

    Returns
    -------
    list of CheckResult
        In a fixed order; those of the fault part only when the static part holds.

    Raises
    ------
    AdapterError
        The adapter shows no example, or cannot be built from it.
    UsageError
        There is no adapter of that name; or it sends nothing, so that there is nothing to check.
    NotFoundError
        Its vendor has retired the service, so that the sampler does not draw.
    """
    kind = adapter_class(adapter) if isinstance(adapter, str) else adapter
    shown = example or example_of(kind)
    if shown is None and _is_local(kind):
        raise UsageError(
            f"{kind.name} has no wire contract to check: its draws come from this machine, and nothing is sent"
        )
    if shown is None:
        raise AdapterError(
            f"expected the module of adapter {kind.name} to define EXAMPLE, one exchange with its vendor; it does not. "
            "See blackbox_conformal.vendor.example.Example"
        )
    with environment(shown):
        try:
            subject = Subject(kind, shown)
        except (BlackboxConformalError, ValueError, TypeError) as error:
            raise AdapterError(f"adapter {kind.name} cannot be built from its own example: {error}") from None
        if faults:
            refuse_retired(subject.adapter)
        results = static_checks(subject)
        if faults and all(result.passed for result in results):
            results += fault_checks(kind, shown) + declared_checks(subject)
    return results


def _is_local(kind: type[Adapter]) -> bool:
    """Whether the class says so by itself; an adapter whose parameters decide it shows an example."""
    try:
        return kind.model_construct().capabilities.local
    except (AttributeError, ValueError, TypeError):
        return False
