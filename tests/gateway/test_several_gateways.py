"""Gateways of one ledger as processes: one limit, and any of them answers for what another accepted."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from support.gateway import data_link, held, picture
from support.gateway_process import GatewayProcess
from support.postgres_server import end_leases, set_leases
from support.recording_server import RecordingServer

from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.drawing.ledger.queries import ledger_sum, ledger_verify
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.testing.fault_server import FaultServer

BASE = "http://gateways.example"


class Two:
    """Two gateways of one ledger, each with a run folder of its own; both answer for the same address."""

    def __init__(self, calibration: Path, vendor: FaultServer, folder: Path, address: str, *options: str) -> None:
        self.address = address
        shared = ("--ledger", address, "--public-url", BASE, "--no-tokens", "--as", "replicate", *options)
        self.a, self.b = (GatewayProcess(calibration, vendor.url, folder / name, *shared) for name in "ab")

    def __enter__(self) -> "Two":
        for gateway in (self.a, self.b):
            self.start(gateway)
        return self

    def start(self, gateway: GatewayProcess) -> None:
        """Start a gateway that lives until `end_lease`, however slow the machine is."""
        gateway.start()
        set_leases(self.address, f"process {gateway.pid} on %", 600)

    def end_lease(self, gateway: GatewayProcess) -> None:
        """Let the other one take this one for dead."""
        end_leases(self.address, f"process {gateway.pid} on %")

    def __exit__(self, *_: object) -> None:
        for gateway in (self.a, self.b):
            gateway.kill()

    def require_whole(self) -> None:
        assert not ledger_verify(LEDGERS.name(self.address)).problems


def post(gateway: GatewayProcess, number: int, **headers: str) -> httpx.Response:
    files = {"image": ("in.png", picture(number), "image/png")}
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{gateway.url}/pictures", files=files, headers=headers, timeout=120)


def begun(gateway: GatewayProcess, number: int, **headers: str) -> str:
    answer = post(gateway, number, Prefer="respond-async", **headers)
    assert answer.status_code in (200, 202), answer.text
    accepted: str = answer.json()["id"]
    return accepted


def find(gateway: GatewayProcess, number: str) -> dict[str, Any]:
    answer = httpx.get(f"{gateway.url}/requests/{number}", timeout=120)
    told: dict[str, Any] = answer.json()
    return {"status": answer.status_code, **told}


def ended(gateway: GatewayProcess, number: str) -> dict[str, Any]:
    while (told := find(gateway, number)).get("state") in ("accepted", "running"):
        time.sleep(0.05)
    return told


def file(gateway: GatewayProcess, told: dict[str, Any], name: str) -> bytes:
    answer = httpx.get(gateway.url + told["blackbox_conformal"][name].removeprefix(BASE), timeout=120)
    assert answer.status_code == 200
    return answer.content


def test_gateways_hold_one_limit_and_each_answers_for_the_others(keyed, keyed_server, tmp_path, postgres):
    with Two(keyed, keyed_server, tmp_path, postgres.new_database(), "--max-cost", "0.25") as two:
        gateways = (two.a, two.b)
        with ThreadPoolExecutor(12) as threads:
            asked = [threads.submit(begun, gateways[number % 2], number) for number in range(60)]
            accepted = [future.result() for future in asked]
        others = [gateways[1 - number % 2] for number in range(60)]
        became = [ended(other, number) for other, number in zip(others, accepted, strict=True)]
        assert Counter(told["state"] for told in became) == {"done": 25, "failed": 35}
        assert all("of 0.25 allowed" in told["error"] for told in became if told["error"])
        assert keyed_server.account.paid == keyed_server.account.distinct == 25
        assert ledger_sum(LEDGERS.name(two.address))["cost_usd"] == Decimal("0.25")
        # Each of the two has the files of both.
        told = next(told for told in became if told["state"] == "done")
        for name in ("picture", "mask", "overlay", "safe", "certificate"):
            assert file(two.a, told, name) == file(two.b, told, name)
        # A working copy that is damaged is fetched again.
        whole = file(two.a, told, "mask")
        (kept,) = (tmp_path / "a").glob(f"served/files/*/{digest_bytes(whole).removeprefix('sha256:')}")
        kept.write_bytes(b"damaged")
        assert file(two.a, told, "mask") == whole == kept.read_bytes()
        two.require_whole()


def test_a_gateway_that_dies_is_followed_by_the_other_also_over_a_crash_of_the_database(
    keyed, keyed_server, tmp_path, postgres
):
    gate, arrived = held(keyed_server)
    options = ("--max-cost", "1", "--concurrency", "2")
    with Two(keyed, keyed_server, tmp_path, postgres.new_database(), *options) as two:
        accepted = [begun(two.a, number) for number in range(4)]
        assert arrived.wait(60)
        two.a.kill()
        two.end_lease(two.a)
        postgres.restart()
        assert find(two.b, accepted[0])["state"] in ("accepted", "running")
        gate.set()
        became = [ended(two.b, number) for number in accepted]
        assert [(told["state"], told["error"]) for told in became] == [("done", None)] * 4
        assert keyed_server.account.paid == keyed_server.account.distinct == 4
        # The dead one comes back, and has nothing left to do.
        two.start(two.a)
        assert file(two.a, became[3], "picture") == file(two.b, became[3], "picture")
        two.require_whole()
    assert keyed_server.account.paid == 4


def test_a_gateway_that_stood_still_ends_and_the_other_has_answered(keyed, keyed_server, tmp_path, postgres):
    gate, arrived = held(keyed_server)
    with Two(keyed, keyed_server, tmp_path, postgres.new_database(), "--max-cost", "1") as two:
        accepted = begun(two.a, 0)
        assert arrived.wait(60)
        two.a.stand_still()
        two.end_lease(two.a)
        gate.set()
        assert ended(two.b, accepted)["state"] == "done"
        two.a.stand_still(still=False)
        assert two.a.wait() != 0
        assert "stood still" in two.a.logged.read_text()
        assert find(two.b, accepted)["state"] == "done"
        two.require_whole()
    assert keyed_server.account.paid == 1


def test_ids_keys_uploads_and_cancelling_hold_over_all_gateways(keyed, keyed_server, tmp_path, postgres):
    options = ("--max-cost", "1", "--concurrency", "1")
    with Two(keyed, keyed_server, tmp_path, postgres.new_database(), *options) as two, ExitStack() as later:
        files = {"content": ("in.png", picture(0), "application/octet-stream")}
        link = httpx.post(f"{two.a.url}/v1/files", files=files, data={"metadata": "{}"}).json()["urls"]["get"]
        body = {"input": {"image": link}}
        put = [
            httpx.put(f"{gateway.url}/v1/predictions/mine", json=body, timeout=60).json()
            for gateway in (two.a, two.b, two.a)
        ]
        assert [told["status"] for told in put] == ["succeeded"] * 3
        assert (len({told["id"] for told in put}), keyed_server.account.paid) == (1, 1)
        gate, arrived = held(keyed_server)
        threads = later.enter_context(ThreadPoolExecutor(1))
        later.callback(gate.set)
        running = begun(two.a, 1, Idempotency_Key="k")
        assert arrived.wait(60)
        # Who asks for the same by the other waits for the first.
        again = threads.submit(post, two.b, 1, Idempotency_Key="k", Accept="application/json")
        assert post(two.b, 3, Idempotency_Key="k").status_code == 409
        waiting = httpx.post(f"{two.a.url}/v1/predictions", json={"input": {"image": data_link(2)}}).json()["id"]
        assert find(two.b, waiting)["state"] == "accepted"
        cancelled = httpx.post(f"{two.b.url}/v1/predictions/{waiting}/cancel", timeout=60).json()
        assert cancelled["status"] == "canceled"
        gate.set()
        assert again.result().json()["id"] == running
        assert (find(two.a, waiting)["state"], post(two.a, 4).status_code) == ("cancelled", 200)
        assert keyed_server.account.paid == keyed_server.account.distinct == 3


def test_one_of_the_gateways_tells_a_webhook(keyed, keyed_server, tmp_path, postgres):
    with RecordingServer() as listening:
        options = ("--max-cost", "1", "--webhook-host", f"127.0.0.1:{listening.port}")
        with Two(keyed, keyed_server, tmp_path, postgres.new_database(), *options) as two:
            for number in range(12):
                files = {"image": ("in.png", picture(number), "image/png")}
                address = f"{(two.a, two.b)[number % 2].url}/pictures"
                answer = httpx.post(address, files=files, data={"webhook": f"{listening.url}/told"}, timeout=60)
                assert answer.is_success, answer.status_code
            while len(told := Counter(json.loads(one.body)["id"] for one in listening.asked)) < 12:
                time.sleep(0.05)
            # More looks of both.
            time.sleep(1.0)
            told = Counter(json.loads(one.body)["id"] for one in listening.asked)
    assert set(told.values()) == {1}
