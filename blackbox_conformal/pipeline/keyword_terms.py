"""The set-up, the terms and the limits that keywords from Python describe."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from blackbox_conformal.adapter import Adapter
from blackbox_conformal.calibration import Calibration
from blackbox_conformal.display.progress import ProgressDisplay
from blackbox_conformal.errors import UsageError
from blackbox_conformal.pipeline.job import Terms
from blackbox_conformal.pipeline.keyword_arguments import ProcedureSettings
from blackbox_conformal.pipeline.listeners import Listeners
from blackbox_conformal.pipeline.run_folder import usual_folder
from blackbox_conformal.pipeline.stages.cluster import Cluster
from blackbox_conformal.pipeline.stages.settings import Setup, set_up
from blackbox_conformal.rates import Rate
from blackbox_conformal.sampling.ledger.address import LEDGERS
from blackbox_conformal.sampling.ledger.store_address import STORES
from blackbox_conformal.sampling.limits import Limits


def setup_of(vendor: Adapter, settings: Mapping[str, Any]) -> Setup:
    """The set-up that these keywords describe; errors as for `set_up`."""
    names = {name: name for name in ProcedureSettings.__annotations__}
    names |= {"perturb": "perturbation", "second_adapter": "second"}
    return set_up(vendor, **{names[key]: value for key, value in settings.items() if key in names})


def terms_of(folder: Path, settings: Mapping[str, Any]) -> Terms:
    """The terms that these keywords describe, for draws in `folder` unless they name another; errors as `limits_of`."""
    memory = settings.get("memory")
    if isinstance(memory, bool) or not isinstance(memory, int | None):
        raise UsageError(f"expected memory to be a whole number of bytes such as 2 * 10**9; got {memory!r}")
    listeners = {name: settings[name] for name in ("listener", "progress", "on_sampler") if name in settings}
    folder = Path(settings.get("run", folder))
    if settings.get("ledger") is not None:
        LEDGERS.place(folder, settings["ledger"])
    if settings.get("store") is not None:
        STORES.place(folder, str(settings["store"]))
    if isinstance(progress := settings.get("progress"), ProgressDisplay):
        progress.keep_in(folder)
    cluster: Cluster | None = settings.get("cluster")
    return Terms(
        folder,
        limits_of(settings),
        memory if cluster is None else cluster.memory_for_one,
        settings.get("ask"),
        Listeners(**listeners),
        cluster=cluster,
    )


def calibrated(calibration: Calibration | str | Path, settings: Mapping[str, Any]) -> tuple[Calibration, Terms]:
    """The calibration, and the terms of a job with it: in its own run folder unless another is named."""
    path = None if isinstance(calibration, Calibration) else Path(calibration)
    loaded = calibration if isinstance(calibration, Calibration) else Calibration.load(calibration)
    return loaded, terms_of(usual_folder(loaded.procedure, path), settings)


_SAME = ("max_calls", "concurrency", "max_resample", "retry_ambiguous", "accept_refusals", "insecure_http")
_LIMITS = {name: name for name in _SAME}
_LIMITS |= {"max_cost": "max_cost_usd", "timeout": "attempt_timeout_s", "job_timeout": "job_deadline_s"}


def limits_of(settings: Mapping[str, Any]) -> Limits:
    """The limits that these keywords describe.

    Raises
    ------
    UsageError
        A limit is no number, or below 0.
    """
    fields = {_LIMITS[key]: value for key, value in settings.items() if key in _LIMITS}
    max_calls = settings.get("max_calls")
    for name in ("max_cost", "max_cost_per_day"):
        amount = settings.get(name)
        if amount is None:
            continue
        try:
            fields[f"{name}_usd"] = Decimal(str(amount))
        except InvalidOperation:
            raise UsageError(f"expected {name} to be an amount of US dollars such as 12.50; got {amount!r}") from None
    if (rate := settings.get("rate")) is not None:
        fields["rates"] = tuple(Rate.of_text(text) for text in ([rate] if isinstance(rate, str) else rate))
    if isinstance(max_calls, bool) or not isinstance(max_calls, int | None):
        raise UsageError(f"expected max_calls to be a whole number of at least 0; got {max_calls!r}")
    limits: Limits = settings.get("limits", Limits())
    return replace(limits, **fields)


def levels_of(alpha: Any) -> tuple[float, ...]:
    """One level or several as several; none where none is given."""
    if alpha is None:
        return ()
    # A text is a collection, too, and no level: what checks levels refuses it whole.
    return tuple(alpha) if isinstance(alpha, Collection) and not isinstance(alpha, str) else (alpha,)
