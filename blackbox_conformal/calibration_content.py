"""What a calibration file says: a calibration as JSON, and back."""

import base64
from typing import TYPE_CHECKING, Any

from blackbox_conformal.calibration_file import FORMAT, VERSION
from blackbox_conformal.calibration_history import History
from blackbox_conformal.calibration_images import CalibrationImage, KnownPhotograph
from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.images.input_statistics.rows import InputStatistics
from blackbox_conformal.procedure import Procedure
from blackbox_conformal.risk.answers import Answers
from blackbox_conformal.risk.curve_set import CurveSet

if TYPE_CHECKING:
    from blackbox_conformal.calibration import Calibration


def to_content(calibration: "Calibration") -> dict[str, Any]:
    """Everything in the file but digest and signature, as JSON carries it."""
    weights = calibration.procedure.score_weights
    return {
        "format": FORMAT,
        "version": VERSION,
        "fingerprint": calibration.procedure.fingerprint,
        "procedure": calibration.procedure.model_dump(mode="json"),
        **({} if weights is None else {"score_weights": base64.b64encode(weights).decode()}),
        "bound": calibration.bound,
        "guarantee": calibration.guarantee,
        "images": [_image(image) for image in calibration.images],
        "curves": calibration.curves.to_text(),
        "shares": [curves.to_text() for curves in calibration.shares],
        **({"all_but": [curves.to_text() for curves in calibration.all_but]} if calibration.all_but else {}),
        "answers": base64.b64encode(calibration.answers.to_bytes()).decode(),
        "inputs": base64.b64encode(calibration.inputs.to_bytes()).decode(),
        "made_with": calibration.made_with,
        "tuning": [
            photograph.model_dump(mode="json")
            for photograph in sorted(calibration.tuning, key=lambda photograph: photograph.truth)
        ],
        "vendor_models": sorted(calibration.vendor_models),
        **({"history": calibration.history.content} if calibration.history.content else {}),
    }


def _image(image: CalibrationImage) -> dict[str, Any]:
    """A photograph as JSON; files from before refusals could be reopened and kinds were kept keep their digest."""
    unsaid = {name for name in ("reopened", "kind") if not getattr(image, name)}
    return image.model_dump(mode="json", exclude=unsaid)


def from_content(content: dict[str, Any]) -> dict[str, Any]:
    """The fields of the calibration that the content of a file describes.

    Raises
    ------
    BlackboxConformalError, ValueError, TypeError
        It describes none; pydantic's ValidationError among them.
    """
    weights = content.get("score_weights")
    procedure = Procedure(
        **content["procedure"], score_weights=None if weights is None else base64.b64decode(weights, validate=True)
    )
    if procedure.fingerprint != content["fingerprint"]:
        raise FileFormatError("the fingerprint is not that of its procedure; the file is damaged")
    return {
        "procedure": procedure,
        "bound": content["bound"],
        "images": tuple(CalibrationImage(**image) for image in content["images"]),
        "curves": CurveSet.from_text(content["curves"]),
        "guarantee": content["guarantee"],
        "tuning": tuple(KnownPhotograph(**photograph) for photograph in content["tuning"]),
        "vendor_models": tuple(content["vendor_models"]),
        "shares": tuple(map(CurveSet.from_text, content["shares"])),
        "answers": Answers.from_bytes(base64.b64decode(content["answers"], validate=True)),
        "inputs": InputStatistics.from_bytes(base64.b64decode(content["inputs"], validate=True)),
        "all_but": tuple(map(CurveSet.from_text, content.get("all_but", ()))),
        "history": History(**content.get("history", {})),
        "made_with": content["made_with"],
    }
