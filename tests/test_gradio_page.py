"""The page of Gradio masks a photograph that calibration has not seen, and names the wheel of this version."""

import importlib.util
import tomllib

import numpy as np
import pytest
from support.documentation import ROOT

EXAMPLE = ROOT / "examples" / "gradio_page"


def test_its_requirements_name_the_wheel_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    wheel = (EXAMPLE / "requirements.txt").read_text(encoding="utf-8").splitlines()[0]
    assert wheel == f"./blackbox_conformal-{version}-py3-none-any.whl"


@pytest.mark.filterwarnings("default")
def test_a_photograph_is_masked_and_a_calibrated_one_is_refused() -> None:
    gradio = pytest.importorskip("gradio")
    spec = importlib.util.spec_from_file_location("gradio_app", EXAMPLE / "app.py")
    assert spec is not None
    assert spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    calibration, photograph = app.calibrated()
    (delivered, marked), truth, statement = app.masked(calibration, photograph, 0.2)
    assert delivered.shape == marked.shape == truth.shape == (512, 512, 3)
    assert not np.array_equal(delivered, marked)
    assert "of the picture is trusted.** If this input is like" in statement
    seen = app.reduce(app.read_image(app.demo_photographs()[0].path).pixels, app.SIDE)
    with pytest.raises(gradio.Error, match="your photograph is the input of calibration photograph"):
        app.masked(calibration, seen, 0.2)
