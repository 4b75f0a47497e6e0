"""A calibration file that would be overwritten is told before anything is drawn; the same work again is no conflict."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import VENDOR
from support.synthetic import write_photographs

from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.testing.fault_server import FaultServer


class Shop:
    """A paid vendor and a calibration of it on four photographs."""

    def __init__(self, folder: Path, server: FaultServer) -> None:
        self.folder, self.server = folder, server
        self.photographs = write_photographs(folder / "photographs", range(4))
        self.out = folder / "calibration.json"

    def calibrate(self, *more: str, command: str = "calibrate", images: list[Path] | None = None) -> int:
        vendor = ["--adapter", VENDOR, "-p", f"url={self.server.url}", "--metric", "rgb-linf"]
        common = ["--out", str(self.out), "--run", str(self.folder / "run"), "--yes", "-q"]
        score = ["--score", "pixel-variance"] if command == "calibrate" else []
        return run([command, *map(str, images or self.photographs), *vendor, *score, "--draws", "2", *common, *more])


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with FaultServer() as server:
        yield Shop(tmp_path, server)


def test_another_procedure_or_other_photographs_are_refused_before_anything_is_paid(shop, capsys):
    assert shop.calibrate() == 0
    written, paid = shop.out.read_bytes(), shop.server.account.paid
    assert paid == 8
    refused: list[tuple[list[str], list[Path] | None, str]] = [
        (["--draws", "3"], None, "another procedure (draws: 2 → 3)"),
        ([], shop.photographs[:3], "other photographs"),
    ]
    for more, images, other in refused:
        assert shop.calibrate(*more, images=images) == 2
        said = capsys.readouterr().err
        assert f"is a calibration of {other} and is not overwritten; give --force or another --out" in said
    assert (shop.out.read_bytes(), shop.server.account.paid) == (written, paid)
    assert shop.calibrate() == 0
    assert shop.calibrate("--draws", "3", "--force") == 0
    assert Calibration.load(shop.out).procedure.draws == 3


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"format": "blackbox-conformal certificate"}'])
def test_any_other_file_is_refused_before_anything_is_paid(shop, content, capsys):
    shop.out.write_bytes(content)
    for command, more in (("calibrate", []), ("tune", ["--alpha", "0.9", "--candidate", "pixel-variance"])):
        assert shop.calibrate(*more, command=command) == 2
        assert "exists and is no calibration; give --force or another --out" in capsys.readouterr().err
    assert (shop.out.read_bytes(), shop.server.account.paid) == (content, 0)


def test_tuning_again_is_no_conflict_and_another_split_is(shop, capsys):
    more = ["--alpha", "0.9", "--candidate", "pixel-variance", "--candidate", "patch-variance"]
    assert shop.calibrate(*more, command="tune") == 0
    written = shop.out.read_bytes()
    assert shop.calibrate(*more, command="tune") == 0
    assert shop.calibrate(*more, "--tuning-share", "0.5", command="tune") == 2
    assert "is not overwritten" in capsys.readouterr().err
    assert shop.calibrate(*more, "--tuning-share", "0.5", "--only-choose", command="tune") == 2
    assert "Name the file that `tune`, `compare` or `plan --pilot` wrote" in capsys.readouterr().err
    apart = ["--out", str(shop.folder / "tuning.json")]
    assert shop.calibrate(*more, "--tuning-share", "0.5", "--only-choose", *apart, command="tune") == 0
    assert shop.out.read_bytes() == written


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_paid(shop, tmp_path, capsys):
    """A file lies where the folder of the results is to be made."""
    assert shop.calibrate() == 0
    paid = shop.server.account.paid
    (tmp_path / "taken").write_bytes(b"mine")
    inside, new = str(tmp_path / "taken" / "below" / "new"), write_photographs(tmp_path / "new", range(10, 14))
    vendor = ["--adapter", VENDOR, "-p", f"url={shop.server.url}"]
    with_calibration = ["--calibration", str(shop.out), *vendor, "--yes", "--alpha", "0.9"]
    choices = ["--alpha", "0.9", "--candidate", "pixel-variance"]
    contest = [
        "compare",
        *map(str, new),
        "--vendor",
        "embedded:draws=3,label=three",
        "--vendor",
        "embedded",
        "--alpha",
        "0.7",
    ]
    commands = [
        lambda: run(["mask", *map(str, new), *with_calibration, "--run", str(tmp_path / "run"), "--out", inside]),
        lambda: run(["audit", *map(str, new), *with_calibration, "--run", str(tmp_path / "run"), "--out", inside]),
        lambda: shop.calibrate("--out", inside, images=new),
        lambda: shop.calibrate("--run", inside, "--out", str(tmp_path / "c.json"), images=new),
        lambda: shop.calibrate("--out", inside, *choices, images=new, command="tune"),
        lambda: run([*contest, "--run", str(tmp_path / "contest"), "--out", inside]),
        lambda: run([*contest, "--run", inside]),
        lambda: run(["mask", *map(str, new), *with_calibration, "--run", inside, "--out", str(tmp_path / "masked")]),
    ]
    for command in commands:
        assert command() == 2
        assert str(tmp_path / "taken") in (said := capsys.readouterr().err)
        assert "can be written" in said
    assert shop.server.account.paid == paid
    assert (tmp_path / "taken").read_bytes() == b"mine"
    assert not (tmp_path / "masked").exists()
