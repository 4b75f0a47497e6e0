"""What a vendor told with an answer or a job comes back from the inbox, whatever else lies there."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from support.draws import limits, tasks

from blackbox_conformal.drawing.ledger.attempts import VendorReport
from blackbox_conformal.drawing.ledger.queries import ledger_ls
from blackbox_conformal.drawing.ledger.sample_store import Store, from_job_file, report_from_name, report_to_name
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.method.images.headers import PNG_SIGNATURE
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

DRIVER = Path(__file__).with_name("crash_driver.py")


@pytest.mark.parametrize(
    "seen",
    [
        VendorReport(),
        VendorReport(0),
        VendorReport(50_000_000, "acme/enhance:v2", "req_0123456789abcdef", 4_294_967_295),
        VendorReport(None, "modèle ü 模型", None, -1),
    ],
)
def test_what_was_told_survives_in_a_name_and_in_a_file(seen, tmp_path):
    assert report_from_name(report_to_name(seen)) == seen
    Store(tmp_path).prepare()
    Store(tmp_path).receive(7, PNG_SIGNATURE, seen)
    assert [one.report for one in Store(tmp_path).arrivals()] == [seen]
    Store(tmp_path).keep_job(8, "job/2", seen)
    assert list(Store(tmp_path).jobs()) == [(8, "job/2", seen)]


def test_what_is_too_long_for_a_name_leaves_the_price():
    told = report_to_name(VendorReport(7, "m" * 300, "r" * 300))
    assert len(told) < 100
    assert report_from_name(told) == VendorReport(7)
    assert report_from_name(report_to_name(VendorReport(7, "m", "r" * 300))) == VendorReport(7, "m")


@pytest.mark.parametrize(
    "text", ["", "=", "AAAA", "W10", "eyJhIjoxfQ", "WzEsMl0", "WzEsMiwzLDRd" * 3, "é", "\\", "W" * 999]
)
def test_names_that_nobody_wrote_tell_nothing(text):
    assert report_from_name(text) == VendorReport()


@pytest.mark.parametrize("content", [b"", b"\xff", b"{}", b"[]", b'["", []]', b"[1, []]", b"[" * 9999, b'"job"'])
def test_job_files_that_nobody_wrote_are_put_aside(content, tmp_path):
    assert from_job_file(content) is None
    store = Store(tmp_path)
    store.prepare()
    (tmp_path / "inbox" / "3.job").write_bytes(content)
    assert (list(store.jobs()), [path.name for path in store.quarantined()]) == ([], ["3.job"])


def test_a_price_of_the_wrong_kind_is_not_booked():
    assert from_job_file(b'["job-1", [-5, 7, ["x"], true]]') == ("job-1", VendorReport())


def test_price_and_model_of_an_answer_that_a_kill_kept_from_the_ledger_are_booked(tmp_path):
    run = tmp_path / "run"
    with FaultServer(reported_price="0.05") as server:
        arguments = [server.url, str(run), "once", "received", "3"]
        done = subprocess.run([sys.executable, str(DRIVER), *arguments], check=False, capture_output=True, timeout=60)
        assert done.returncode < 0
        with Sampler(SynchronousVendor(url=server.url), run, limits(), check=lambda data, task: None) as sampler:
            assert [one.state for one in sampler.draw(tasks(1, 4))] == ["stored"] * 4
    assert [(one.model, one.cost_usd) for one in ledger_ls(run)] == [("fault-vendor-1", Decimal("0.05"))] * 4
