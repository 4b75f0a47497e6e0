"""`watch` against the embedded vendor, whose weights change by a hundredth while its model keeps its name."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import ended
from support.synthetic import write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.embedded.embedded_server import VendorServer
from blackbox_conformal.embedded.studio import Generator, OfferedTask

pytestmark = pytest.mark.usual_promise


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
