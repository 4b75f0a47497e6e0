"""What is missing or wrong is said before the work begins, by its name and with what to type."""

import shutil
from pathlib import Path

from support.command_line import VENDOR, ended
from support.report_material import make_run
from support.synthetic import write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.testing.fault_server import FaultServer

KEY = "FAULT_VENDOR_KEY"


def calibrate(folder: Path, url: str, *more: str) -> int:
    vendor = ["--adapter", VENDOR, "-p", f"url={url}", "-p", "keyed=true", "--metric", "rgb-linf"]
    return run(["calibrate", str(folder / "photographs"), *vendor, "--run", str(folder / "run"), *more])


def test_a_missing_key_is_said_before_a_photograph_is_read(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    write_photographs(tmp_path / "photographs", range(3))[0].write_bytes(b"damaged")
    with FaultServer() as server:
        assert calibrate(tmp_path, server.url, "--yes") == 2
        assert f"expects its key in {KEY}" in capsys.readouterr().err
        assert calibrate(tmp_path, server.url, "--dry-run") == 2
        assert KEY not in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_wrong_key_is_called_by_its_variable(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv(KEY, "wrong-key-of-a-test")
    write_photographs(tmp_path / "photographs", range(3))
    with FaultServer({"submit": "status:code=401"}) as server:
        assert calibrate(tmp_path, server.url, "--yes") == 5
    said = capsys.readouterr().err
    assert f"Check the key in {KEY} and the account's credit" in said
    assert "list adapters NAME" not in said


def test_too_small_a_budget_is_refused_before_the_key_is_spoken_of(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv(KEY, "key-of-a-test")
    write_photographs(tmp_path / "photographs", range(3))
    with FaultServer() as server:
        assert calibrate(tmp_path, server.url, "--max-cost", "0.01") == 4
        said = capsys.readouterr().err
        assert "reserved of 0.01 allowed; raise --max-cost" in said
        assert "nothing was sent" in said
        assert f"{KEY} goes to" not in said
        assert server.account.paid == 0


def test_a_picture_given_as_the_calibration_is_called_a_picture(tmp_path, capsys):
    (picture,) = write_photographs(tmp_path, range(1))
    assert run(["mask", str(picture), "--calibration", str(picture), "--alpha", "0.1"]) == 2
    assert "expected a calibration file; this is a picture" in capsys.readouterr().err


def test_a_missing_calibration_or_level_is_answered_with_what_lies_here(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (picture,) = write_photographs(tmp_path, range(1))
    assert run(["mask", str(picture), "--alpha", "0.1"]) == 2
    assert "`blackbox-conformal calibrate` makes one" in capsys.readouterr().err
    (tmp_path / "runs" / "vendor 1").mkdir(parents=True)
    (tmp_path / "runs" / "vendor 1" / "calibration.json").write_text("{}")
    assert run(["mask", str(picture), "--alpha", "0.1"]) == 2
    assert "add --calibration 'runs/vendor 1/calibration.json'" in capsys.readouterr().err
    assert "add --alpha 0.1, say" in ended(capsys, ["mask", str(picture), "--calibration", str(picture)], 2).err


def test_report_finds_the_only_run_as_view_does(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["report"]) == 2
    assert "expected --run FOLDER, since no folder below ./runs holds a calibration.json" in capsys.readouterr().err
    made = make_run(tmp_path / "runs" / "one", sizes=((64, 48),)).folder
    assert run(["report", "-q"]) == 0
    assert (made / "report.html").is_file()
    shutil.copytree(made, tmp_path / "runs" / "two")
    assert "there is more than one: runs/one, runs/two" in ended(capsys, ["report"], 2).err


def test_a_webhook_that_was_typed_is_answered_with_how_to_name_it(tmp_path, capsys):
    calibration = make_run(tmp_path / "run", sizes=((64, 48),)).folder / "calibration.json"
    address = "http://127.0.0.1:8899/hook?token=secret"
    watch = ["watch", str(tmp_path), "--calibration", str(calibration), "--accept", "yes", "--notify-webhook"]
    said = ended(capsys, [*watch, address], 2).err
    assert "what was typed is no name of a variable. Such as: export WATCH_ADDRESS=https://" in said
    assert "secret;" not in said.replace("a secret", "")
    assert "hook_FILE" not in said
    assert "NO_SUCH_VARIABLE is not set" in ended(capsys, [*watch, "NO_SUCH_VARIABLE"], 2).err


def test_help_of_view_names_the_default_once_and_doctor_lists_no_vendor_without_a_key(capsys, tmp_path, monkeypatch):
    assert run(["view", "--help"]) == 0
    assert capsys.readouterr().out.count("a free one") == 1
    monkeypatch.delenv("REPLICATE_API_TOKEN", raising=False)
    run(["doctor", "--run", str(tmp_path)])
    said = capsys.readouterr().out
    assert "REPLICATE_API_TOKEN" not in said
    assert "more lack their key; `blackbox-conformal list adapters NAME`" in said
