"""What OpenTelemetry is told of requests: how long, how it ended, and nothing secret."""

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.gateway import picture, serving

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
