"""A vendor that replaces its model: nobody pays for masks that nothing vouches for, and exit code 3 says why."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import VENDOR, called
from support.synthetic import write_photographs

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.fault_vendor import FaultVendor
from blackbox_conformal.testing.faults import Fault

SENTENCE = "the vendor replaced model 'fault-vendor-1', which was calibrated, by 'acme-v2'"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer({"submit": Fault("slow-start", {"seconds": 0.05})}) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, server: FaultServer) -> Path:
    write_photographs(tmp_path / "photographs", range(4))
    write_photographs(tmp_path / "others", range(20, 30))
    found = calibrate(tmp_path, server, "first")
    assert found.returncode == 0, found.stderr
    return tmp_path


def calibrate(folder: Path, server: FaultServer, run: str, *more: str) -> subprocess.CompletedProcess[str]:
    choices = ["--draws", "3", "--score", "pixel-variance", "--metric", "rgb-linf"]
    vendor = ["--adapter", VENDOR, "-p", f"url={server.url}"]
    return called("calibrate", "photographs", *vendor, *choices, "--run", run, "--yes", *more, folder=folder)


def use(
    folder: Path, server: FaultServer, command: str, calibration: str, run: str
) -> subprocess.CompletedProcess[str]:
    where = ["--calibration", f"{calibration}/calibration.json", "--run", run, "--adapter", VENDOR]
    spend = ["-p", f"url={server.url}", "--yes", "--concurrency", "8", "--force"]
    return called(command, "others", *where, "--alpha", "0.5", *spend, folder=folder)


def change_model(server: FaultServer, name: str) -> None:
    assert isinstance(server.vendor, FaultVendor)
    server.vendor.model = name


@pytest.mark.parametrize("command", ["mask", "audit"])
def test_answers_of_another_model_end_masking_and_auditing(folder, server, command):
    change_model(server, "acme-v2")
    # Three answers in a row, and those that are under way then.
    for run, most in (("fresh", 12 + 10), ("first", 12 + 20)):
        found = use(folder, server, command, "first", run)
        assert found.returncode == 3, found.stderr
        assert SENTENCE in found.stderr
        assert "calibrate again" in found.stderr
        assert "run folder" not in found.stderr.split("error:")[1]
        assert server.account.paid <= most
    paid = server.account.paid
    again = use(folder, server, command, "first", "first")
    assert (again.returncode, server.account.paid) == (3, paid), again.stderr
    assert "came from model 'acme-v2', and the calibration is of 'fault-vendor-1': calibrate again" in again.stderr
    assert not list((folder / "masked").glob("*")) if command == "mask" else True


def test_after_a_new_calibration_everything_works_again_in_the_old_run_folder(folder, server):
    change_model(server, "acme-v2")
    assert use(folder, server, "mask", "first", "first").returncode == 3
    mixed = calibrate(folder, server, "first")
    # All its draws are stored and of the old model: the file that is there is the same one.
    assert mixed.returncode in (0, 2)
    assert calibrate(folder, server, "second").returncode == 0
    assert Calibration.load(folder / "second" / "calibration.json").vendor_models == ("acme-v2",)
    masked = use(folder, server, "mask", "second", "first")
    # These pictures are larger than the calibration's inputs, which is another matter than the model.
    assert masked.returncode == 3
    assert "everything is written" in masked.stderr, masked.stderr
    assert "acme" not in masked.stderr
    assert use(folder, server, "audit", "second", "second").returncode == 0


def test_a_change_while_calibrating_says_how_it_can_be_completed(tmp_path):
    write_photographs(tmp_path / "photographs", range(4))
    with FaultServer({"submit": [None, None, "model:name=acme-v2"]}) as server:
        for _ in range(2):
            found = calibrate(tmp_path, server, "run", "--concurrency", "1")
            assert found.returncode == 3, found.stderr
            assert "draws came from 'fault-vendor-1' and from 'acme-v2'" in found.stderr
            assert "start again in a new run folder, with --run" in found.stderr
            assert server.account.paid == 5
        server.script = {}
        change_model(server, "fault-vendor-1")
        assert "add --max-resample 1" in calibrate(tmp_path, server, "run").stderr
        assert server.account.paid == 5
        assert calibrate(tmp_path, server, "run", "--max-resample", "1").returncode == 0
        assert server.account.paid == 12 + 3
        assert calibrate(tmp_path, server, "new").returncode == 0
