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
    "Adapter": "blackbox_conformal.vendor.adapter",
    "Audit": "blackbox_conformal.method.audits.findings",
    "BlackboxConformalError": "blackbox_conformal.errors",
    "Calibration": "blackbox_conformal.documents.calibration",
    "Certificate": "blackbox_conformal.documents.certificate",
    "CertifiedKey": "blackbox_conformal.documents.x509",
    "ClaimAudit": "blackbox_conformal.method.audits.vendor_claim",
    "InputShift": "blackbox_conformal.method.audits.input_shift",
    "Comparison": "blackbox_conformal.study.choose.comparison",
    "Learning": "blackbox_conformal.study.choose.learning",
    "Limits": "blackbox_conformal.drawing.limits",
    "Plan": "blackbox_conformal.study.plan.planning",
    "Result": "blackbox_conformal.study.mask.products",
    "RiskCurve": "blackbox_conformal.method.risk.curve",
    "Session": "blackbox_conformal.study.session.session",
    "SigningKey": "blackbox_conformal.documents.signature",
    "TrustPolicy": "blackbox_conformal.documents.trust_policy",
    "Suggestion": "blackbox_conformal.study.choose.suggesting",
    "Tuning": "blackbox_conformal.study.choose.scored",
    "VisitResult": "blackbox_conformal.watching.visit.visiting",
    "compare_inputs": "blackbox_conformal.study.choose.input_comparison",
    "audit": "blackbox_conformal.study.python.functions",
    "audit_claim": "blackbox_conformal.study.python.functions",
    "calibrate": "blackbox_conformal.study.python.functions",
    "Check": "blackbox_conformal.study.choose.checking",
    "check": "blackbox_conformal.study.choose.checking",
    "compare": "blackbox_conformal.study.python.choosing",
    "degrade": "blackbox_conformal.study.choose.degrading",
    "mask": "blackbox_conformal.study.python.functions",
    "mask_all": "blackbox_conformal.study.python.functions",
    "metric_bound": "blackbox_conformal.study.mask.array_maps",
    "error_map": "blackbox_conformal.study.mask.array_maps",
    "score_map": "blackbox_conformal.study.mask.array_maps",
    "cascade": "blackbox_conformal.study.plugins",
    "fit_cascade": "blackbox_conformal.study.choose.cascading",
    "CascadeFit": "blackbox_conformal.study.choose.cascading",
    "fit_floor": "blackbox_conformal.study.choose.floor_fit",
    "FloorFit": "blackbox_conformal.study.choose.floor_fit",
    "from_function": "blackbox_conformal.study.plugins",
    "learn_score": "blackbox_conformal.study.choose.learning",
    "load_adapter": "blackbox_conformal.study.plugins",
    "plan": "blackbox_conformal.study.python.choosing",
    "report": "blackbox_conformal.pages.report.html",
    "suggest_degradation": "blackbox_conformal.study.choose.suggesting",
    "threshold": "blackbox_conformal.method.guarantees.guarantee",
    "trusted": "blackbox_conformal.method.risk.trust",
    "tune": "blackbox_conformal.study.python.choosing",
    "watch": "blackbox_conformal.watching.visit.visiting",
}

if TYPE_CHECKING:
    from blackbox_conformal.documents.calibration import Calibration as Calibration
    from blackbox_conformal.documents.certificate import Certificate as Certificate
    from blackbox_conformal.documents.signature import SigningKey as SigningKey
    from blackbox_conformal.documents.trust_policy import TrustPolicy as TrustPolicy
    from blackbox_conformal.documents.x509 import CertifiedKey as CertifiedKey
    from blackbox_conformal.drawing.limits import Limits as Limits
    from blackbox_conformal.errors import BlackboxConformalError as BlackboxConformalError
    from blackbox_conformal.method.audits.findings import Audit as Audit
    from blackbox_conformal.method.audits.input_shift import InputShift as InputShift
    from blackbox_conformal.method.audits.vendor_claim import ClaimAudit as ClaimAudit
    from blackbox_conformal.method.guarantees.guarantee import threshold as threshold
    from blackbox_conformal.method.risk.curve import RiskCurve as RiskCurve
    from blackbox_conformal.method.risk.trust import trusted as trusted
    from blackbox_conformal.pages.report.html import report as report
    from blackbox_conformal.study.choose.cascading import CascadeFit as CascadeFit
    from blackbox_conformal.study.choose.cascading import fit_cascade as fit_cascade
    from blackbox_conformal.study.choose.checking import Check as Check
    from blackbox_conformal.study.choose.checking import check as check
    from blackbox_conformal.study.choose.comparison import Comparison as Comparison
    from blackbox_conformal.study.choose.degrading import degrade as degrade
    from blackbox_conformal.study.choose.floor_fit import FloorFit as FloorFit
    from blackbox_conformal.study.choose.floor_fit import fit_floor as fit_floor
    from blackbox_conformal.study.choose.input_comparison import compare_inputs as compare_inputs
    from blackbox_conformal.study.choose.learning import Learning as Learning
    from blackbox_conformal.study.choose.learning import learn_score as learn_score
    from blackbox_conformal.study.choose.scored import Tuning as Tuning
    from blackbox_conformal.study.choose.suggesting import Suggestion as Suggestion
    from blackbox_conformal.study.choose.suggesting import suggest_degradation as suggest_degradation
    from blackbox_conformal.study.mask.array_maps import error_map as error_map
    from blackbox_conformal.study.mask.array_maps import metric_bound as metric_bound
    from blackbox_conformal.study.mask.array_maps import score_map as score_map
    from blackbox_conformal.study.mask.products import Result as Result
    from blackbox_conformal.study.plan.planning import Plan as Plan
    from blackbox_conformal.study.plugins import cascade as cascade
    from blackbox_conformal.study.plugins import from_function as from_function
    from blackbox_conformal.study.plugins import load_adapter as load_adapter
    from blackbox_conformal.study.python.choosing import compare as compare
    from blackbox_conformal.study.python.choosing import plan as plan
    from blackbox_conformal.study.python.choosing import tune as tune
    from blackbox_conformal.study.python.functions import audit as audit
    from blackbox_conformal.study.python.functions import audit_claim as audit_claim
    from blackbox_conformal.study.python.functions import calibrate as calibrate
    from blackbox_conformal.study.python.functions import mask as mask
    from blackbox_conformal.study.python.functions import mask_all as mask_all
    from blackbox_conformal.study.session.session import Session as Session
    from blackbox_conformal.vendor.adapter import Adapter as Adapter
    from blackbox_conformal.watching.visit.visiting import VisitResult as VisitResult
    from blackbox_conformal.watching.visit.visiting import watch as watch

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
