"""The limits on sizes that a vendor states: what does not fit is listed before anything is paid."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.flow_driver import built
from support.replicate_server import ReplicateServer, link, schema
from support.synthetic import write_photographs

from blackbox_adapters._cog_models import MODELS
from blackbox_conformal.adapter import Capabilities, Upload
from blackbox_conformal.cli.main import run
from blackbox_conformal.pipeline.stages.picture_limits import misfit, png_bound, too_many_bytes

MODEL = "nightmareai/real-esrgan"
PIXELS = 20 * 16
"""Of each input: the photographs have 80 × 64, and the model magnifies by four."""

JOB = ["--adapter", "replicate", "-p", f"model={MODEL}", "--score", "pixel-variance", "--metric", "rgb-linf"]
SEEDED = ["-p", "seed-input=seed", "--draws", "4", "--run", "run"]


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_made_up")
    write_photographs(tmp_path / "photographs", range(24))
    return tmp_path / "photographs"


def limited(monkeypatch: pytest.MonkeyPatch, pixels: int) -> ReplicateServer:
    monkeypatch.setitem(MODELS, MODEL, replace(MODELS[MODEL], deterministic=False, max_input_pixels=pixels))
    inputs = {"image": link(), "scale": {"type": "number", "default": 4}, "seed": {"type": "integer"}}
    return ReplicateServer(schema(**inputs), most_pixels=pixels)


@pytest.mark.parametrize("command", [["plan"], ["calibrate", "--max-cost", "20", "--yes"]])
def test_photographs_above_the_models_memory_are_listed_and_nothing_is_paid(
    command: list[str], photographs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with limited(monkeypatch, PIXELS - 1) as server:
        code = run([*command, "photographs", *JOB, *SEEDED, "-p", f"url={server.url}"])
    said = capsys.readouterr().err
    assert (code, len(server.made)) == (2, 0)
    assert "24 of 24 photographs cannot be used, so nothing was sent" in said
    assert f"p0: the vendor takes at most {PIXELS - 1} input pixels; the input has {PIXELS}" in said
    assert "and 14 more" in said


def test_declared_are_the_limits_that_vendors_state() -> None:
    assert built("replicate", model=MODEL).capabilities.max_input_pixels == 2_096_704
    assert built("runware").capabilities.max_output_side == 4096
    assert built("clipdrop").capabilities.max_output_side == 4096
    assert built("runpod", endpoint="abc").capabilities.max_upload_bytes == (10 * 2**20 - 16_384) // 4 * 3
    assert built("runpod", endpoint="").capabilities.max_upload_bytes is None
    assert built("bedrock").capabilities.max_upload_bytes == (25_000_000 - 150_000) // 4 * 3
    creative, precise = (built("magnific", mode=mode).capabilities for mode in ("creative", "precision-v2"))
    assert (creative.min_side, creative.max_aspect, precise.max_output_side) == (160, 3.0, 10060)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"min_side": 17}, "at least 17 pixels; the input is 20×16"),
        ({"max_side": 19}, "at most 19 pixels; the input is 20×16"),
        ({"min_output_side": 65}, "at least 65 pixels; ×4 would make 80×64"),
        ({"max_output_side": 79}, "at most 79 pixels; ×4 would make 80×64"),
        ({"max_aspect": 1.2}, "at most 1.2 times the other; the input is 20×16"),
        ({"max_input_pixels": 319}, "at most 319 input pixels; the input has 320"),
        ({"max_output_pixels": 5119}, "at most 5119 pixels; ×4 would make 5120"),
    ],
)
def test_each_limit_is_named(limits: dict[str, float], said: str) -> None:
    broken = misfit(20, 16, Capabilities((4,), **limits), 4)  # type: ignore[arg-type]
    assert broken is not None
    assert said in broken
    assert misfit(16, 20, Capabilities((4,), **limits), 4) is not None  # type: ignore[arg-type]
    # One less, or for the least sides one more, is within it.
    kept = {key: value + (-1 if key.startswith("min") else 1) for key, value in limits.items()}
    assert misfit(20, 16, Capabilities((4,), **kept), 4) is None  # type: ignore[arg-type]


def test_a_file_is_encoded_only_where_it_might_be_too_large() -> None:
    png = b"x" * 5000
    upload = Upload("p", "sha256:0", png, 40, 40)
    assert png_bound(1600, 40) > 4999 > len(png) - 2
    assert too_many_bytes(upload, Capabilities((4,), max_upload_bytes=5000)) is None
    assert "at most 4999 bytes; the input has 5000" in str(
        too_many_bytes(upload, Capabilities((4,), max_upload_bytes=4999))
    )
    assert too_many_bytes(upload, Capabilities((4,), max_upload_bytes=6000)) is None
