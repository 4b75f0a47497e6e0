"""`--rate` and `--job-timeout` on the command line: what the vendor's log says of them."""

from support.command_line import called
from support.synthetic import write_photographs

from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.faults import Fault

REFERENCE = "blackbox_conformal.testing.reference_adapters"
CHOICES = ["--draws", "4", "--score", "pixel-variance", "--metric", "rgb-linf", "--run", "run", "--yes"]
JOBS = ["--adapter", f"{REFERENCE}:JobVendor", "-p", "cancels=true", "-p", "poll_seconds=0.1", "--job-timeout", "1"]


def test_submissions_come_no_faster_than_the_rate(tmp_path):
    """Without the rate, which is the control, they come faster."""
    write_photographs(tmp_path / "photographs", range(2))
    spans = []
    for run, rate in [("free", []), ("kept", ["--rate", "2/second submit"])]:
        with FaultServer() as server:
            vendor = ["--adapter", f"{REFERENCE}:SynchronousVendor", "-p", f"url={server.url}"]
            called("calibrate", "photographs", *vendor, *CHOICES, "--run", run, *rate, folder=tmp_path, code=0)
            assert server.account.paid == 8
            times = [request.at for request in server.account.recorded if request.purpose == "submit"]
            spans.append(max(times) - min(times))
    free, kept = spans
    # The last one is sent three seconds after the first one, which may arrive late.
    assert kept > 2
    assert kept > free


def test_an_overdue_job_is_cancelled_once_while_the_others_are_drawn(tmp_path):
    write_photographs(tmp_path / "photographs", range(2))
    with FaultServer({"submit": [Fault("mark", {"stuck": True})]}) as server:
        account = server.account
        given = ["calibrate", "photographs", *JOBS, "-p", f"url={server.url}", *CHOICES]
        first = called(*given, folder=tmp_path, code=6)
        assert "is cancelled; --retry-ambiguous buys the draw again, and --job-timeout allows it more" in first.stderr
        assert (account.paid, account.requests("submit"), account.requests("cancel")) == (8, 8, 1)
        polls = account.requests("poll")
        assert called(*given, folder=tmp_path, code=6).stderr
        assert (account.paid, account.requests("poll"), account.requests("cancel")) == (8, polls, 1)
        called(*given, "--retry-ambiguous", folder=tmp_path, code=0)
        assert (account.paid, account.requests("cancel")) == (9, 1)


def test_a_job_that_the_vendor_does_not_cancel_is_fetched_by_the_same_command(tmp_path):
    write_photographs(tmp_path / "photographs", range(2))
    late = Fault("mark", {"word": "warming", "times": 25})
    with FaultServer({"submit": [late], "cancel": "status:code=409"}) as server:
        account = server.account
        given = ["calibrate", "photographs", *JOBS, "-p", f"url={server.url}", *CHOICES]
        called(*given, folder=tmp_path, code=6)
        assert (account.paid, account.requests("cancel")) == (8, 1)
        called(*given[:-1], "--job-timeout", "60", "--yes", folder=tmp_path, code=0)
        assert (account.paid, account.requests("submit"), account.requests("cancel")) == (8, 8, 1)
