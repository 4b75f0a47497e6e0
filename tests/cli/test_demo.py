"""The demonstrations, on made-up photographs so that they are quick: real server, real files, real guarantee."""

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.command_line import called, ended
from support.synthetic import photograph, write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.embedded.embedded_server import VendorServer
from blackbox_conformal.embedded.studio import Generator, OfferedTask

pytestmark = pytest.mark.usual_promise


def demo(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return called("demo", "--out", str(folder / "demo"), *more)


def test_demo_on_a_folder_of_photographs(tmp_path):
    write_photographs(tmp_path / "photographs", range(9))
    images = ["--images", str(tmp_path / "photographs")]
    found = demo(tmp_path, *images, "--json")
    assert found.returncode == 0, found.stderr
    document = json.loads(found.stdout)
    assert (document["n_calibration"], document["n_audit"]) == (7, 2)
    assert document["alpha"] == pytest.approx(0.4)
    for name in ("calibration", "report", "mask", "overlay", "certificate"):
        assert Path(document[name]).is_absolute()
        assert Path(document[name]).stat().st_size > 0
    certificate = Certificate.from_json(Path(document["certificate"]).read_text())
    certificate.verify(Path(document["certificate"]).parent)
    mask = np.asarray(PillowImage.open(document["mask"]))
    assert mask.shape == photograph(0).shape[:2]
    assert certificate.trusted_share == mask.mean()
    assert certificate.vendor_model is not None
    assert certificate.vendor_model.startswith("realesr-general-x4v3@")
    for said in ("of detail invented or removed is hatched", "realised risk", "certificate", "report"):
        assert said in found.stderr

    again = demo(tmp_path, *images, "--json")
    assert again.returncode == 0, again.stderr
    repeated = json.loads(again.stdout)
    assert {**repeated, "seconds": 0} == {**document, "seconds": 0}
    assert "0 calls made, 7 stored" in again.stderr

    other = demo(tmp_path, *images, "--alpha", "0.3")
    assert other.returncode == 2
    assert "--force" in other.stderr
    assert Certificate.from_json(Path(document["certificate"]).read_text()) == certificate
    forced = demo(tmp_path, *images, "--alpha", "0.3", "--force", "--json")
    assert forced.returncode == 0, forced.stderr
    assert json.loads(forced.stdout)["alpha"] == 0.3
    assert Certificate.from_json(Path(document["certificate"]).read_text()).alpha == 0.3


def test_demo_of_colourisation(tmp_path):
    write_photographs(tmp_path / "photographs", range(7))
    images = ["--images", str(tmp_path / "photographs")]
    found = demo(tmp_path, "--task", "colourise", "--draws", "2", *images, "--json")
    assert found.returncode == 0, found.stderr
    document = json.loads(found.stdout)
    assert (document["task"], document["n_calibration"], document["alpha"]) == ("colourise", 6, 0.45)
    assert "told to colourise; inputs by grey; 2 draws of each of 6 photographs" in found.stderr
    assert "the largest averaged chroma error where clear is at most" in " ".join(found.stderr.split())
    assert "A mask takes 2 calls, since smoothed-variance looks at where draws differ" in found.stderr
    certificate = Certificate.from_json(Path(document["certificate"]).read_text())
    assert certificate.vendor_model is not None
    assert certificate.vendor_model.startswith("embedded-colour@")
    (given,) = (tmp_path / "demo" / "input").iterdir()
    grey = np.asarray(PillowImage.open(given))
    truth = PillowImage.open(tmp_path / "demo" / "photographs" / given.name)
    assert np.array_equal(grey, np.asarray(truth.convert("L").convert("RGB")))
    report = Path(document["report"]).read_text(encoding="utf-8")
    assert "How far to trust the embedded vendor</h1>" in report
    assert "inputs made by <code>grey</code>" in report


def test_demo_of_denoising_takes_one_draw(tmp_path):
    write_photographs(tmp_path / "photographs", range(7))
    wanted = ["--task", "denoise", "--images", str(tmp_path / "photographs")]
    refused = demo(tmp_path, *wanted, "--draws", "2")
    assert refused.returncode == 2
    assert "answers equal requests equally" in refused.stderr
    found = called("demo", *wanted, "--json", folder=tmp_path, code=0)
    assert "told to denoise; inputs by noise:15; 1 draw of each of 6 photographs" in found.stderr
    assert "A mask takes one call" in found.stderr
    overlay = Path(json.loads(found.stdout)["overlay"])
    assert overlay.parents[1] == tmp_path / "blackbox-conformal-demo-denoise"


def test_too_few_photographs_are_a_clear_error(tmp_path):
    write_photographs(tmp_path / "photographs", range(3))
    found = demo(tmp_path, "--images", str(tmp_path / "photographs"))
    assert found.returncode == 2
    assert "at least 6 photographs" in found.stderr
    assert "got 3" in found.stderr


@pytest.fixture
def vendor() -> Iterator[VendorServer]:
    server = VendorServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_weights_that_change_by_a_hundredth_are_told_at_the_next_visit(vendor, tmp_path, capsys):
    write_photographs(tmp_path / "photographs", range(4))
    common = ["-p", f"url={vendor.url}", "--run", str(tmp_path / "run")]
    choices = ["--adapter", "embedded", "--draws", "2", "--score", "pixel-variance", "--metric", "rgb-linf"]
    assert run(["calibrate", str(tmp_path / "photographs"), *common, *choices, "-q"]) == 0
    watch = ["watch", "--calibration", str(tmp_path / "run" / "calibration.json"), *common, "--json"]
    assert run([*watch, str(tmp_path / "photographs"), "--canaries", "2"]) == 0
    for _ in range(2):
        assert run(watch) == 0
    capsys.readouterr()
    task = vendor.studio.tasks["upscale"]
    vendor.studio.tasks["upscale"] = OfferedTask(task.model, task.scale, Generator().perturbed(0.01).upscale)
    assert run(watch) == 3
    verdicts = {one["layer"]: one["verdict"] for one in json.loads(capsys.readouterr().out)["findings"]}
    assert (verdicts["identity"], verdicts["pixels"]) == ("same", "changed")


def test_the_demo_shows_a_planted_change_being_found(tmp_path, capsys):
    folder = tmp_path / "demo"
    out = ended(capsys, ["watch", "--demo", "--run", str(folder), "--json"])
    document = json.loads(out.out)
    verdicts = {one["layer"]: one["verdict"] for one in document["findings"]}
    assert (document["state"], verdicts["identity"], verdicts["pixels"]) == ("suspended", "same", "changed")
    assert out.err.count("SAME: nothing says that the vendor changed") == 3
    assert "this calibration is suspended since" in out.err
    assert Path(document["page"]).read_text(encoding="utf-8").count("data:image/webp;base64,") == 8
    assert run(["watch", "--demo", "--run", str(folder)]) == 2
    assert "or --demo to see how it works" in ended(capsys, ["watch"], 2).err
