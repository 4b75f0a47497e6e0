"""The limits on sizes that a vendor states: what does not fit is listed before anything is paid."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.flow_driver import built
from support.replicate_server import ReplicateServer, link, schema
from support.synthetic import photograph, reduced, write_photographs

import blackbox_conformal as bc
from blackbox_adapters._named_inputs import MODELS
from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.errors import PicturesError, UsageError
from blackbox_conformal.method.images.making_inputs import upload_from
from blackbox_conformal.study.choose.contestants import Contest, Contestant
from blackbox_conformal.study.job import Terms
from blackbox_conformal.study.stages.prepare import fitted, misfit, png_bound, too_many_bytes
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor
from blackbox_conformal.vendor.adapter import Capabilities, Upload

MODEL = "nightmareai/real-esrgan"
PIXELS = 20 * 16
"""Of each input: the photographs have 80 × 64, and the model magnifies by four."""

JOB = ["--adapter", "replicate", "-p", f"model={MODEL}", "-p", "price-usd=0.005"]
JOB += ["--score", "pixel-variance", "--metric", "rgb-linf"]
SEEDED = ["-p", "seed-input=seed", "--draws", "4", "--run", "run"]


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_made_up")
    write_photographs(tmp_path / "photographs", range(12))
    return tmp_path / "photographs"


def limited(monkeypatch: pytest.MonkeyPatch, pixels: int) -> ReplicateServer:
    monkeypatch.setitem(MODELS, MODEL, replace(MODELS[MODEL], deterministic=False, max_input_pixels=pixels))
    inputs = {"image": link(), "scale": {"type": "number", "default": 4}, "seed": {"type": "integer"}}
    return ReplicateServer(schema(**inputs), most_pixels=pixels)


@pytest.mark.parametrize("command", [["plan"], ["calibrate", "--max-cost", "20", "--yes"]])
def test_photographs_above_the_models_memory_are_listed_and_nothing_is_paid(command, photographs, monkeypatch, capsys):
    with limited(monkeypatch, PIXELS - 1) as server:
        code = run([*command, "photographs", *JOB, *SEEDED, "-p", f"url={server.url}"])
    said = capsys.readouterr().err
    assert (code, len(server.made)) == (2, 0)
    assert "12 of 12 photographs cannot be used, so nothing was sent" in said
    assert f"p0: the vendor takes at most {PIXELS - 1} input pixels; the input has {PIXELS}" in said
    assert "and 2 more" in said


def test_declared_are_the_limits_that_vendors_state():
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
def test_each_limit_is_named(limits, said):
    broken = misfit(20, 16, Capabilities((4,), **limits), 4)
    assert broken is not None
    assert said in broken
    assert "×1 would" not in (misfit(20, 16, Capabilities((1,), **limits), 1) or "")
    assert misfit(16, 20, Capabilities((4,), **limits), 4) is not None
    # One less, or for the least sides one more, is within it.
    kept = {key: value + (-1 if key.startswith("min") else 1) for key, value in limits.items()}
    assert misfit(20, 16, Capabilities((4,), **kept), 4) is None


@pytest.mark.parametrize("command", ["plan", "calibrate"])
@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"max_side": 19}, "the second vendor takes sides of at most 19 pixels; the input is 20×16"),
        ({"max_upload_bytes": 500}, "the second vendor takes files of at most 500 bytes; the input has"),
    ],
)
def test_photographs_that_the_second_vendor_does_not_take_are_listed_and_neither_is_paid(
    command, limit, said, photographs, monkeypatch, capsys
):
    able = JobVendor.capabilities.fget
    monkeypatch.setattr(JobVendor, "capabilities", property(lambda vendor: replace(able(vendor), **limit)))
    module = "blackbox_conformal.testing.reference_adapters"
    with FaultServer() as server:
        first = ["--adapter", f"{module}:SynchronousVendor", "-p", f"url={server.url}", "--draws", "2"]
        second = ["--second-adapter", f"{module}:JobVendor", "--second", f"url={server.url}"]
        given = ["photographs", *first, *second, "--score", "second-opinion", "--metric", "rgb-linf", "--run", "run"]
        agreed = ["--yes"] if command == "calibrate" else []
        assert run([command, *given, *agreed]) == 2
        shown = capsys.readouterr().err
        for words in ("12 of 12 photographs cannot be used, so nothing was sent", f"p0: {said}", "--fit crop"):
            assert words in shown
        assert (server.account.paid, run([command, *given, *agreed, "--fit", "shrink"])) == (0, 0)


def test_a_picture_to_be_masked_that_the_second_vendor_does_not_take_is_named_and_nothing_is_paid(tmp_path, server):
    paths = write_photographs(tmp_path / "photographs", range(3))
    wide = tmp_path / "wide.png"
    Image.fromarray(photograph(9)).save(wide)
    vendors = SynchronousVendor(url=server.url), Narrow(url=server.url)
    choices = {"draws": 2, "score": "second-opinion", "metric": "rgb-linf", "max_calls": 20}
    told = {"second_adapter": vendors[1], "run": tmp_path / "run"}
    calibration = bc.calibrate(vendors[0], paths, fit="shrink", **told, **choices)
    paid = server.account.paid
    with pytest.raises(UsageError, match="the second vendor takes sides of at most"):
        bc.mask(vendors[0], wide, calibration, alpha=0.9, max_calls=20, empty_masks=True, **told)
    assert server.account.paid == paid


def test_a_file_is_encoded_only_where_it_might_be_too_large():
    png = b"x" * 4900
    upload = Upload("p", "sha256:0", png, 40, 40)
    assert png_bound(1600, 40) > len(png)
    assert too_many_bytes(upload, Capabilities((4,), max_upload_bytes=4900)) is None
    assert "at most 4899 bytes; the input has 4900" in str(
        too_many_bytes(upload, Capabilities((4,), max_upload_bytes=4899))
    )
    assert too_many_bytes(upload, Capabilities((4,), max_upload_bytes=6000)) is None


FIT = ["calibrate", "photographs", *JOB, *SEEDED, "--max-cost", "20", "--yes"]


@pytest.mark.parametrize(("fit", "done"), [("crop", "cropped to its middle"), ("shrink", "made smaller")])
def test_photographs_are_made_to_fit_and_the_calibration_says_so(fit, done, photographs, monkeypatch, capsys):
    with limited(monkeypatch, 14 * 12) as server:
        code = run([*FIT, "--fit", fit, "-p", f"url={server.url}"])
        said = capsys.readouterr().err
        assert (code, len(server.made)) == (0, 48), said
        calibration = Calibration.load(Path("run/calibration.json"))
        assert {(image.width, image.height) for image in calibration.images} == {(56, 44)}
        assert {image.fitted for image in calibration.images} == {f"{done}, from 80×64 to 56×44"}
        assert calibration.procedure.fit == fit
        assert "12 of 12 photographs break a limit of the vendor" in said
        assert f"p0 {done}, from 80×64 to 56×44" in said
        # The same command pays nothing again; without --fit it is another procedure, and nothing is sent.
        assert run([*FIT, "--fit", fit, "-p", f"url={server.url}", "--force"]) == 0
        assert run([*FIT, "-p", f"url={server.url}"]) == 2
        assert len(server.made) == 48
        assert "--fit crop" in capsys.readouterr().err
        # A picture to be masked is the user's own: one that fits is masked, and its paper says what holds.
        Image.fromarray(photograph(90, (12, 14))).save("small.png")
        Image.fromarray(photograph(91, (16, 20))).save("large.png")
        mask = ["mask", "--calibration", "run/calibration.json", "--alpha", "0.9", "--max-cost", "5", "--yes"]
        mask += ["-p", f"url={server.url}", "--run", "run"]
        assert run([*mask, "small.png", "--out", "masks"]) == 0
        assert run([*mask, "large.png", "--out", "masks"]) == 2
    said = capsys.readouterr().err
    assert "neither cropped nor made smaller, since the result would not be your picture" in said
    # 16×20 where 14×12 fit: four parts of 8×10, or a smaller picture of the same proportions.
    assert "`magick large.png -auto-orient -crop 2x2@ +repage large-part-%d.png` makes 4 parts" in said
    assert "`magick large.png -resize 14x11 -auto-orient large-smaller.png` a smaller one" in said
    papers = [path.read_text() for path in Path("masks").rglob("*.json")]
    assert any("The guarantee is about pictures like the photographs after that" in paper for paper in papers)


def test_two_of_12_above_the_limit_are_named_before_anything_is_paid(photographs, monkeypatch, capsys):
    for name in ("large", "larger"):
        Image.fromarray(photograph(100 + len(name), (96, 96))).save(photographs / f"{name}.png")
    for name in ("p0", "p1"):
        (photographs / f"{name}.png").unlink()
    with limited(monkeypatch, PIXELS) as server:
        assert run([*FIT, "-p", f"url={server.url}"]) == 2
        said = capsys.readouterr().err
        assert (len(server.made), "2 of 12 photographs cannot be used, so nothing was sent" in said) == (0, True)
        assert f"larger: the vendor takes at most {PIXELS} input pixels; the input has 576" in said
        assert run([*FIT, "--fit", "crop", "-p", f"url={server.url}"]) == 0
    images = Calibration.load(Path("run/calibration.json")).images
    assert [image.refused for image in images] == [None] * 12
    assert sum(image.fitted is not None for image in images) == 2


@pytest.mark.parametrize("fit", ["crop", "shrink"])
@pytest.mark.parametrize(
    "limits",
    [
        {"max_side": 15},
        {"max_output_side": 63},
        {"max_input_pixels": 200},
        {"max_output_pixels": 3000, "max_side": 18},
        {"max_upload_bytes": 800},
    ],
)
def test_what_was_made_to_fit_keeps_every_limit(fit, limits):
    able = Capabilities((4,), **limits)
    noise = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    made, done = fitted(noise, 4, fit, [able], lambda truth: reduced(truth, 4))
    low = reduced(made, 4)
    assert done is not None
    assert misfit(low.shape[1], low.shape[0], able, 4) is None
    assert too_many_bytes(upload_from(low, "p"), able) is None
    assert min(low.shape[:2]) >= 8
    assert fitted(noise, 4, None, [able], lambda truth: reduced(truth, 4)) == (noise, None)


def test_a_long_picture_is_cropped_but_cannot_be_shrunk_into_another_shape():
    able = Capabilities((4,), max_aspect=1.2)
    made, _ = fitted(photograph(1), 4, "crop", [able], lambda truth: reduced(truth, 4))
    assert made.shape == (64, 76, 3)
    assert (made == photograph(1)[:, 2:78]).all()
    assert fitted(photograph(1), 4, "shrink", [able], lambda truth: reduced(truth, 4))[1] is None


def test_from_python_fit_is_a_keyword_and_anything_else_is_refused(tmp_path, server):
    paths = write_photographs(tmp_path / "photographs", range(3))
    vendor = Narrow(url=server.url)
    choices = {"draws": 2, "score": "pixel-variance", "metric": "rgb-linf", "max_calls": 6}
    with pytest.raises(PicturesError, match="--fit crop"):
        bc.calibrate(vendor, paths, run=tmp_path / "run", **choices)
    with pytest.raises(UsageError, match="expected fit to be crop or shrink; got 'cut'"):
        bc.calibrate(vendor, paths, run=tmp_path / "run", fit="cut", **choices)
    assert server.account.paid == 0
    calibration = bc.calibrate(vendor, paths, run=tmp_path / "run", fit="shrink", **choices)
    assert [image.fitted for image in calibration.images] == ["made smaller, from 80×64 to 64×48"] * 3


def test_all_that_are_compared_get_photographs_that_fit_each_of_them(tmp_path, server):
    paths = write_photographs(tmp_path / "photographs", range(4))
    choices = {"draws": 2, "score": "pixel-variance", "metric": "rgb-linf", "fit": "crop"}
    both = [
        Contestant(name, set_up(kind(url=server.url), **choices))
        for name, kind in (("narrow", Narrow), ("wide", SynchronousVendor))
    ]
    contest = Contest.of_photographs(both, paths, Terms(tmp_path / "run", Limits(max_calls=8)), held_out=2)
    assert server.account.recorded == []
    sent = [{(task.upload.width, task.upload.height) for task in job.tasks} for job in contest.jobs]
    assert sent == [{(16, 16)}, {(16, 16)}]


class Narrow(SynchronousVendor):  # A vendor that takes sides of at most 16 pixels
    name = "narrow"

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, max_side=16)
