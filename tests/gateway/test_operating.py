"""What an operator relies on: a vendor that is down is not paid, kept files are mended, spans tell no secret."""

import io
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from PIL import Image
from support.gateway import Gateway, picture, serving

from blackbox_conformal.drawing.ledger.queries import ledger_sum, ledger_verify
from blackbox_conformal.drawing.pacing import concurrency
from blackbox_conformal.gateway import file_store
from blackbox_conformal.gateway import gateway as desk
from blackbox_conformal.gateway.gateway import GatewayTerms
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.support.canonical import digest_bytes

WRONG = ["picture:kind=noise", "picture:kind=html", "status:code=500,billed=true", "picture:kind=another-photograph"]


@pytest.mark.parametrize("fault", WRONG)
def test_a_vendor_that_gives_nothing_usable_is_not_paid_for_every_request(
    calibration, vendor, server, tmp_path, caplog, fault
):
    server.script = {"submit": fault}
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda number: gateway.post(picture(number % 40)), range(100)))
        paid = server.account.paid
        assert 4 <= paid <= 20
        assert Counter(answer.status_code for answer in answers)[503] > 70
        later = next(answer for answer in reversed(answers) if answer.status_code == 503)
        assert 0 < int(later.headers["retry-after"]) <= 30
        assert "stopped" not in later.text
        ready = gateway.get("/readyz")
        assert (ready.status_code, ready.json()["why"]) == (503, "the vendor gives no usable answers")
        assert gateway.metric("vendor_down") == 1
    told = [record for record in caplog.records if record.name == "blackbox_conformal.gateway"]
    assert len([record for record in told if "answered with 503" in record.getMessage()]) == 1
    costly = [record for record in told if getattr(record, "cost_usd", "0") != "0"]
    assert len(costly) == paid
    assert all(record.request in record.getMessage() for record in costly)
    assert not any("stopped" in record.getMessage() for record in told)


def test_it_goes_on_by_itself_when_the_vendor_is_well(calibration, vendor, server, tmp_path, monkeypatch):
    monkeypatch.setattr(concurrency, "FIRST_PAUSE_S", 0.3)
    server.script = {"submit": "picture:kind=html"}
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        numbers = iter(range(1000))
        while gateway.post(picture(next(numbers))).status_code != 503:
            pass
        paid = server.account.paid
        server.script = None
        while (answer := gateway.post(picture(next(numbers)))).status_code == 503:
            time.sleep(0.05)
        assert (answer.status_code, server.account.paid) == (200, paid + 1)
        assert gateway.post(picture(next(numbers))).status_code == 200
        assert (gateway.get("/readyz").status_code, gateway.metric("vendor_down")) == (200, 0)


def test_a_long_pause_that_the_vendor_asks_for_pauses_the_service(server, gateway):
    server.script = {"submit": "status:code=429,retry-after=86400"}
    first = gateway.post(picture(0), Idempotency_Key="one")
    assert first.status_code == 503
    assert int(first.headers["retry-after"]) > 3000
    asked = server.account.requests("submit")
    server.script = None
    assert [gateway.post(picture(number)).status_code for number in (1, 2)] == [503, 503]
    assert server.account.requests("submit") == asked
    assert gateway.post(picture(0), Idempotency_Key="one").status_code == 503


def place(gateway: Gateway, content: bytes) -> Path:
    name = digest_bytes(content).removeprefix("sha256:")
    return gateway.run / "served" / "files" / name[:2] / name


def damage(path: Path) -> None:
    with path.open("r+b") as file:
        content = file.read()
        file.seek(len(content) // 2)
        file.write(bytes([content[len(content) // 2] ^ 1]))


@pytest.mark.parametrize("mark", [True, False])
@pytest.mark.parametrize("spoil", [damage, Path.unlink])
def test_a_file_that_is_damaged_or_gone_is_made_again_from_the_stored_answer(
    calibration, vendor, server, tmp_path, spoil, *, mark
):
    with serving(calibration, vendor, tmp_path / "run", terms=GatewayTerms(mark=mark)) as gateway:
        found = gateway.json(picture(0))["blackbox_conformal"]
        whole = {name: gateway.get(found[name]).content for name in ("picture", "mask")}
        for content in whole.values():
            spoil(place(gateway, content))
        # A marked file is no copy of the stored answer: like a mask it is made when the picture is asked for again.
        assert gateway.get(found["picture"]).status_code == (502 if mark else 200)
        assert gateway.get(found["mask"]).status_code == 502
        again = gateway.json(picture(0))["blackbox_conformal"]
        for name, content in whole.items():
            assert (gateway.get(again[name]).content, gateway.get(found[name]).content) == (content, content)
        assert not ledger_verify(gateway.run).problems
    assert server.account.paid == 1


def test_a_damaged_input_is_not_sent(server, monkeypatch, gateway):
    keep = file_store.FileStore.keep

    def kept_and_damaged(store: file_store.FileStore, content: bytes) -> str:
        digest = keep(store, content)
        place(gateway, content).write_bytes(picture(1))
        return digest

    with monkeypatch.context() as patched:
        patched.setattr(file_store.FileStore, "keep", kept_and_damaged)
        refused = gateway.post(picture(0))
    assert (refused.status_code, server.account.paid) == (502, 0)
    assert "damaged" in refused.json()["error"]
    answer = gateway.json(picture(0))["blackbox_conformal"]
    assert (gateway.get(answer["picture"]).status_code, server.account.paid) == (200, 1)


def test_old_requests_and_their_files_are_deleted_and_metrics_and_answers_stay(
    calibration, vendor, server, tmp_path, monkeypatch
):
    names = ("requests_accepted_total", "requests_ended_total", "masks_total", "trusted_shares_total")
    names += ("request_seconds_count", "request_seconds_bucket", "token_calls_total")
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        old = gateway.json(picture(0))
        before = {name: gateway.metric(name) for name in names}
    monkeypatch.setattr(desk, "DELETE_EACH_S", 0.1)
    monkeypatch.setattr(file_store, "_UNNAMED_S", 0.0)
    with serving(calibration, vendor, tmp_path / "run", terms=GatewayTerms(kept_days=1 / 24 / 3600)) as gateway:
        time.sleep(1.0)
        while gateway.get(f"/pictures/{old['id']}").status_code == 200:
            time.sleep(0.1)
        while list((tmp_path / "run" / "served" / "files").glob("*/*")):
            time.sleep(0.1)
        assert gateway.get(httpx.URL(old["blackbox_conformal"]["mask"]).path).status_code == 404
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        assert {name: gateway.metric(name) for name in names} == pytest.approx(before)
        assert gateway.post(picture(0)).status_code == 200
        assert gateway.metric("requests_accepted_total") == before["requests_accepted_total"] + 1
    assert server.account.paid == ledger_sum(tmp_path / "run")["stored"] == 1


def test_what_is_not_old_stays(calibration, vendor, tmp_path):
    with serving(calibration, vendor, tmp_path / "run", terms=GatewayTerms(kept_days=1)) as gateway:
        links = gateway.json(picture(0))["blackbox_conformal"]
    with serving(calibration, vendor, tmp_path / "run", terms=GatewayTerms(kept_days=1)) as gateway:
        time.sleep(0.5)
        path = httpx.URL(links["mask"]).path
        assert gateway.get(path).status_code == 200


def test_alpha_of_a_picture_is_put_back_with_a_mask_and_without(calibration, vendor, tmp_path):
    with Image.open(io.BytesIO(picture(0))) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    opacity = np.full(pixels.shape[:2], 255, np.uint8)
    opacity[: len(opacity) // 2] = 0
    clear = image_png(pixels, opacity=opacity)
    for outside in (0.0, 0.99):
        with serving(calibration, vendor, tmp_path / f"run-{outside}", settings={"outside": outside}) as gateway:
            links = gateway.json(clear)["blackbox_conformal"]
            files = [name for name in ("picture", "overlay", "safe") if name in links]
            assert (len(files) > 1) == (outside == 0)
            for name in files:
                shown = Image.open(io.BytesIO(gateway.get(links[name]).content))
                assert shown.mode == "RGBA"
                hidden = np.asarray(shown)[..., 3] == 0
                assert 0.3 < hidden.mean() < 0.6
            if "mask" in links:
                mask = np.asarray(Image.open(io.BytesIO(gateway.get(links["mask"]).content)))
                assert not mask[hidden].any()
                assert links["trusted_share"] == mask[~hidden].mean()


TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(scope="module")
def provider() -> TracerProvider:
    # OpenTelemetry can be set up once in a process.
    made = TracerProvider()
    trace.set_tracer_provider(made)
    return made


@pytest.fixture
def spans(provider: TracerProvider) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    exporter.shutdown()


def test_a_request_is_a_child_of_the_client_s_span_and_its_work_a_child_of_it(calibration, vendor, tmp_path, spans):
    with serving(calibration, vendor, tmp_path) as gateway:
        answer = gateway.post(picture(0), Traceparent=f"00-{TRACE}-{PARENT}-01", Authorization="Bearer not-for-spans")
        mask = answer.headers["X-Blackbox-Conformal-Mask"]
        httpx.get(mask)
        httpx.get(f"{gateway.url}/nothing/not-for-spans?signature=not-for-spans")
    told = {span.name: span for span in spans.get_finished_spans()}
    request, work = told["POST /pictures"], told["mask"]
    assert f"{request.context.trace_id:032x}" == f"{work.context.trace_id:032x}" == TRACE
    assert (f"{request.parent.span_id:016x}", work.parent.span_id) == (PARENT, request.context.span_id)
    assert request.attributes["http.route"] == "/pictures"
    assert (request.attributes["http.response.status_code"], work.attributes["state"]) == (200, "done")
    assert work.attributes["trusted_share"] == float(answer.headers["X-Blackbox-Conformal-Trusted-Share"])
    everything = "".join(span.to_json() for span in spans.get_finished_spans())
    assert mask.rsplit("/", 2)[1] not in everything
    assert "not-for-spans" not in everything


def test_without_opentelemetry_nothing_is_told_and_nothing_fails():
    program = """
import sys
sys.modules["opentelemetry"] = None
from blackbox_conformal.gateway.logs import span
with span("mask", "internal", {}) as tell:
    tell("other", state="done")
print("done")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "done\n"
