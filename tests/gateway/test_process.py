"""The gateway as a process: killed, it answers every accepted request; asked to end, it drains; dialects of others."""

import json
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.command_line import VENDOR, called_in_new_process
from support.gateway import data_link, held, picture
from support.gateway_process import GatewayProcess

from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.drawing.ledger.queries import ledger_sum, ledger_verify
from blackbox_conformal.gateway.tokens import Tokens
from blackbox_conformal.testing.fault_server import chances

PRICE = Decimal("0.01")


def post_to(url: str, content: bytes, **headers: str) -> httpx.Response:
    files = {"image": ("in.png", content, "image/png")}
    return httpx.post(f"{url}/pictures", files=files, headers=headers, timeout=60)


def ended(url: str, number: str, token: str = "") -> dict[str, Any]:
    headers = {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    while True:
        time.sleep(0.02)
        answer = httpx.get(f"{url}/pictures/{number}", headers=headers, timeout=60)
        if answer.status_code != 202:
            told: dict[str, Any] = answer.json()
            return told


def test_after_crashes_every_accepted_request_is_answered_and_nothing_is_paid_twice(keyed, keyed_server, tmp_path):
    faults = {"reset-after-body": 0.1, "status:code=429": 0.1, "slow-start:seconds=0.1": 0.5}
    keyed_server.script = chances(3, {"submit": faults})
    gateway = GatewayProcess(keyed, keyed_server.url, tmp_path / "run", "--max-cost", "0.2")
    accepted: list[str] = []

    def ask(number: int) -> None:
        try:
            answer = post_to(gateway.url, picture(number), Prefer="respond-async")
        except httpx.HTTPError:
            return
        if answer.status_code in (200, 202):
            accepted.append(answer.json()["id"])

    for crash in range(3):
        gateway.start()
        with ThreadPoolExecutor(6) as threads:
            asked = [threads.submit(ask, 8 * crash + number) for number in range(8)]
            for future in asked[: 3 + crash]:
                future.result()
            gateway.kill()
    with gateway:
        assert len(accepted) >= 9
        became = [ended(gateway.url, number) for number in accepted]
    assert {told["state"] for told in became} <= {"done", "failed"}
    assert [one["error"] for one in became if one["state"] == "failed" and "0.2 allowed" not in one["error"]] == []
    books = ledger_sum(tmp_path / "run")
    assert books["cost_usd"] == keyed_server.account.paid * PRICE <= Decimal("0.2")
    assert keyed_server.account.paid == keyed_server.account.distinct
    assert not ledger_verify(tmp_path / "run").problems


@pytest.mark.parametrize("shared", [False, True])
def test_the_limit_of_a_token_counts_what_was_under_way_at_each_crash(keyed, keyed_server, tmp_path, request, shared):
    """Gateways of a shared ledger also begin draws for the token at the same time."""
    file, (gate, arrived) = tmp_path / "tokens.json", held(keyed_server)
    token = Tokens(file).new("alice", Decimal("0.03")).reveal()
    options = ["--max-cost", "1", "--tokens", str(file)]
    database = request.getfixturevalue("postgres").new_database() if shared else None
    options += [] if database is None else ["--ledger", database]
    names = ["a", "b"] if shared else ["a"]
    gateways = [GatewayProcess(keyed, keyed_server.url, tmp_path / name, *options) for name in names]

    def ask(number: int) -> str:
        gateway = gateways[number % len(gateways)]
        headers = {"Prefer": "respond-async", "Authorization": f"Bearer {token}"}
        return str(post_to(gateway.url, picture(number), **headers).json()["id"])

    accepted = list[str]()
    for gateway in gateways:
        gateway.start()
    for crash in range(3 if shared else 4):
        arrived.clear()
        accepted += [ask(number) for number in range(crash * len(gateways), (crash + 1) * len(gateways))]
        # Without room for it, a draw never arrives.
        arrived.wait(10 if crash < 3 / len(gateways) else 2)
        for gateway in gateways:
            gateway.kill()
        for gateway in gateways:
            gateway.start()
    gate.set()
    try:
        became = [ended(gateways[0].url, number, token) for number in accepted]
        assert Counter(told["state"] for told in became) == {"done": 3, "failed": len(accepted) - 3}
        told = httpx.get(f"{gateways[0].url}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=60).text
    finally:
        for gateway in gateways:
            gateway.terminate()
            gateway.wait()
    assert keyed_server.account.paid == 3
    where = tmp_path / "a" if database is None else LEDGERS.name(database)
    assert ledger_sum(where)["cost_usd"] == Decimal("0.03")
    assert 'token_spent_usd_total{token="alice"} 0.03' in told
    assert 'token_calls_total{token="alice"} 3' in told
    assert not ledger_verify(where).problems


def test_who_is_asked_to_end_finishes_what_runs_and_refuses_what_is_new(keyed, keyed_server, tmp_path):
    gate, arrived = held(keyed_server)
    gateway = GatewayProcess(keyed, keyed_server.url, tmp_path / "run", "--max-cost", "1", "--concurrency", "1").start()
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(post_to, gateway.url, picture(0))
        assert arrived.wait(60)
        waiting = post_to(gateway.url, picture(1), Prefer="respond-async").json()["id"]
        gateway.terminate()
        while httpx.get(f"{gateway.url}/readyz").status_code != 503:
            time.sleep(0.02)
        refused = post_to(gateway.url, picture(2))
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        gate.set()
        assert running.result().status_code == 200
    assert gateway.wait() == 0
    with gateway:
        assert ended(gateway.url, waiting)["state"] == "done"
    assert keyed_server.account.paid == 2
    lines = [json.loads(line) for line in gateway.logged.read_text().splitlines()]
    assert "/pictures" in {line.get("route") for line in lines}
    assert not any(waiting in json.dumps(line) for line in lines)


def test_a_stream_of_statuses_ends_with_the_gateway_that_is_asked_to_end(keyed, keyed_server, tmp_path):
    gate, _ = held(keyed_server)
    options = ("--max-cost", "1", "--as", "fal")
    gateway = GatewayProcess(keyed, keyed_server.url, tmp_path / "run", *options).start()
    address = f"{gateway.url}/fal/queue/any/blackbox-conformal"
    queued = httpx.post(address, json={"image_url": data_link(0)}, timeout=60).json()
    with httpx.stream("GET", queued["status_url"] + "/stream", timeout=60) as streamed:
        lines = streamed.iter_lines()
        assert next(lines).startswith("data: ")
        gateway.terminate()
        told = [line for line in lines if line]
    assert not any("COMPLETED" in line for line in told)
    gate.set()
    assert gateway.wait() == 0


def test_who_is_asked_twice_sends_nothing_more_and_leaves_what_waits_for_the_next_start(keyed, keyed_server, tmp_path):
    gate, arrived = held(keyed_server)
    gateway = GatewayProcess(keyed, keyed_server.url, tmp_path / "run", "--max-cost", "1", "--concurrency", "1").start()
    ids = [post_to(gateway.url, picture(number), Prefer="respond-async").json()["id"] for number in range(3)]
    assert arrived.wait(60)
    gateway.terminate()
    while httpx.get(f"{gateway.url}/readyz").status_code != 503:
        time.sleep(0.02)
    gateway.terminate()
    gate.set()
    assert (gateway.wait(), keyed_server.account.paid) == (130, 1)
    with gateway:
        assert [ended(gateway.url, number)["state"] for number in ids] == ["done"] * 3
    assert keyed_server.account.paid == keyed_server.account.distinct == 3


CODE = '''
from blackbox_conformal.gateway.request import Order
from blackbox_conformal.gateway.dialects.dialect import Dialect, Route
from blackbox_conformal.gateway.http_exchange import HttpAnswer


class Raw(Dialect):
    """The picture is the body."""

    def routes(self):
        return (Route("POST", "/raw", self._create, "Send a picture.", {"image/png": {}}),)

    async def _create(self, gateway, http):
        order = Order(picture=http.body, options=dict(http.query))
        request = await gateway.ended(await gateway.accept(http, "raw", order))
        return HttpAnswer(200, gateway.content(request, "picture"), "image/png", gateway.headers(request))

    def as_json(self, gateway, request):
        return gateway.as_json(request)
'''


@pytest.fixture
def site(tmp_path: Path) -> Path:
    information = tmp_path / "site" / "tiny_dialect.dist-info"
    information.mkdir(parents=True)
    (information.parent / "tiny_dialect.py").write_text(CODE)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-dialect\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[blackbox_conformal.dialects]\nraw = tiny_dialect:Raw\n")
    return information.parent


def test_a_dialect_of_another_package_is_served(tmp_path, site, monkeypatch, keyed, keyed_server):
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONPATH", path)
    with GatewayProcess(keyed, keyed_server.url, tmp_path / "run", "--max-cost", "1", "--as", "raw") as gateway:
        answer = httpx.post(f"{gateway.url}/raw", content=picture(0), timeout=60)
        assert answer.content == post_to(gateway.url, picture(0)).content
        assert httpx.get(answer.headers["x-blackbox-conformal-mask"]).status_code == 200
        refused = httpx.post(f"{gateway.url}/raw?sharpness=3", content=picture(0), timeout=60)
        assert refused.status_code == 422
        assert "/raw" in httpx.get(f"{gateway.url}/openapi.json").json()["paths"]
    assert keyed_server.account.paid == 1
    given = ["--calibration", str(keyed), "--alpha", "0.9", "-p", f"url={keyed_server.url}", "-p", "idempotent=true"]
    vendor = ["--adapter", VENDOR, "--max-cost", "1", "--as", "rawr", "--run", str(tmp_path / "run")]
    unknown = called_in_new_process("serve", *given, *vendor, code=2)
    assert "expected the name of a dialect; got 'rawr'; did you mean raw?" in " ".join(unknown.stderr.split())
