"""Trust masks with finite-sample guarantees for black-box image super-resolution and restoration.

    import blackbox_conformal as bc

    vendor = bc.load_adapter("embedded")
    calibration = bc.calibrate(vendor, "photographs/")
    result = bc.mask(vendor, "input.png", calibration, alpha=0.3)

`audit`, `watch`, `compare`, `tune`, `plan`, `degrade` and `report` do what the commands of these names do. Names are
loaded when first used, so that importing this package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Adapter": "blackbox_conformal.adapter",
    "Audit": "blackbox_conformal.audits.findings",
    "BlackboxConformalError": "blackbox_conformal.errors",
    "Calibration": "blackbox_conformal.calibration",
    "Certificate": "blackbox_conformal.certificate",
    "InputShift": "blackbox_conformal.audits.input_shift",
    "Comparison": "blackbox_conformal.pipeline.comparison_parts.comparison",
    "Learning": "blackbox_conformal.pipeline.learning",
    "Limits": "blackbox_conformal.sampling.limits",
    "Plan": "blackbox_conformal.pipeline.planning",
    "Result": "blackbox_conformal.pipeline.products",
    "RiskCurve": "blackbox_conformal.risk.curve",
    "Session": "blackbox_conformal.pipeline.session",
    "SigningKey": "blackbox_conformal.signing_key",
    "Suggestion": "blackbox_conformal.pipeline.suggesting",
    "Tuning": "blackbox_conformal.pipeline.tuned",
    "VisitResult": "blackbox_conformal.pipeline.visiting",
    "compare_inputs": "blackbox_conformal.pipeline.input_comparison",
    "audit": "blackbox_conformal.pipeline.commands",
    "calibrate": "blackbox_conformal.pipeline.commands",
    "compare": "blackbox_conformal.pipeline.choosing",
    "degrade": "blackbox_conformal.pipeline.degrading",
    "mask": "blackbox_conformal.pipeline.commands",
    "mask_all": "blackbox_conformal.pipeline.commands",
    "metric_bound": "blackbox_conformal.pipeline.array_maps",
    "error_map": "blackbox_conformal.pipeline.array_maps",
    "score_map": "blackbox_conformal.pipeline.array_maps",
    "learn_score": "blackbox_conformal.pipeline.learning",
    "load_adapter": "blackbox_conformal.plugins",
    "plan": "blackbox_conformal.pipeline.choosing",
    "report": "blackbox_conformal.reports.run_report",
    "suggest_degradation": "blackbox_conformal.pipeline.suggesting",
    "threshold": "blackbox_conformal.guarantees.choose",
    "trusted": "blackbox_conformal.risk.trust",
    "tune": "blackbox_conformal.pipeline.choosing",
    "watch": "blackbox_conformal.pipeline.commands",
}

if TYPE_CHECKING:
    from blackbox_conformal.adapter import Adapter as Adapter
    from blackbox_conformal.audits.findings import Audit as Audit
    from blackbox_conformal.audits.input_shift import InputShift as InputShift
    from blackbox_conformal.calibration import Calibration as Calibration
    from blackbox_conformal.certificate import Certificate as Certificate
    from blackbox_conformal.errors import BlackboxConformalError as BlackboxConformalError
    from blackbox_conformal.guarantees.choose import threshold as threshold
    from blackbox_conformal.pipeline.array_maps import error_map as error_map
    from blackbox_conformal.pipeline.array_maps import metric_bound as metric_bound
    from blackbox_conformal.pipeline.array_maps import score_map as score_map
    from blackbox_conformal.pipeline.choosing import compare as compare
    from blackbox_conformal.pipeline.choosing import plan as plan
    from blackbox_conformal.pipeline.choosing import tune as tune
    from blackbox_conformal.pipeline.commands import audit as audit
    from blackbox_conformal.pipeline.commands import calibrate as calibrate
    from blackbox_conformal.pipeline.commands import mask as mask
    from blackbox_conformal.pipeline.commands import mask_all as mask_all
    from blackbox_conformal.pipeline.commands import watch as watch
    from blackbox_conformal.pipeline.comparison_parts.comparison import Comparison as Comparison
    from blackbox_conformal.pipeline.degrading import degrade as degrade
    from blackbox_conformal.pipeline.input_comparison import compare_inputs as compare_inputs
    from blackbox_conformal.pipeline.learning import Learning as Learning
    from blackbox_conformal.pipeline.learning import learn_score as learn_score
    from blackbox_conformal.pipeline.planning import Plan as Plan
    from blackbox_conformal.pipeline.products import Result as Result
    from blackbox_conformal.pipeline.session import Session as Session
    from blackbox_conformal.pipeline.suggesting import Suggestion as Suggestion
    from blackbox_conformal.pipeline.suggesting import suggest_degradation as suggest_degradation
    from blackbox_conformal.pipeline.tuned import Tuning as Tuning
    from blackbox_conformal.pipeline.visiting import VisitResult as VisitResult
    from blackbox_conformal.plugins import load_adapter as load_adapter
    from blackbox_conformal.reports.run_report import report as report
    from blackbox_conformal.risk.curve import RiskCurve as RiskCurve
    from blackbox_conformal.risk.trust import trusted as trusted
    from blackbox_conformal.sampling.limits import Limits as Limits
    from blackbox_conformal.signing_key import SigningKey as SigningKey

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
