"""Many clients, a vendor that misbehaves, and a gateway that is killed again and again: what is spent, who is answered.

    python examples/serve_crashes.py [--clients 32] [--requests 200] [--kills 20] [--max-cost USD] [--plain]
                                     [--gateways 2 --restarts 5]

The vendor honours idempotency keys (with --plain it does not) and keeps books of its own. 5 % each of its answers are
resets, 429, 504 and bodies that are cut. Every client sends its requests one by one, each under an idempotency key, and
sends one again whose connection broke, as clients do. It exits with 1 unless

- the ledger, the metrics and the vendor's books agree to the cent, and the limit was not passed;
- no draw was paid twice;
- every id that was accepted is answered in the end.

With --gateways there are several, which share a ledger on a PostgreSQL server that is started for it; clients take any
of them each time, and the server is crashed so many times with --restarts.

With --plain a draw that was sent and not answered fails, and is booked at its price whether the vendor billed it or
not. The ledger may then say more than the vendor's books, and never less.
"""

import argparse
import itertools
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.postgres_server import postgres_server

import blackbox_conformal as bc
from blackbox_conformal.drawing.ledger.addresses import LEDGERS
from blackbox_conformal.drawing.ledger.backends import Where
from blackbox_conformal.drawing.ledger.queries import ledger_sum, ledger_verify
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.testing.fault_server import FaultServer, chances
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

PRICE = Decimal("0.01")
FAULTS = {
    "reset-after-body": 0.05,
    "status:code=429": 0.05,
    "status:code=504": 0.05,
    "cut-length": 0.05,
}
ENDED = ("done", "refused", "failed", "cancelled")


def field(number: int, height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8: smooth colours, other ones for every number."""
    coarse = np.random.default_rng(number).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def calibrated(folder: Path, *, idempotent: bool) -> Path:
    """The file of a calibration of one draw."""
    (folder / "photographs").mkdir(parents=True)
    for number in range(8):
        Image.fromarray(field(10**6 + number, 64, 80)).save(folder / "photographs" / f"p{number}.png")
    with FaultServer(idempotent=idempotent) as server:
        vendor = SynchronousVendor(url=server.url, idempotent=idempotent)
        settings: dict[str, Any] = {"max_calls": 40, "metric": "rgb-linf", "draws": 1, "score": "bicubic-gap"}
        made = bc.calibrate(vendor, folder / "photographs", run=folder / "run", **settings)
    return made.save(folder / "calibration.json")


class Gateway:
    """The process that is killed and started again."""

    def __init__(
        self, calibration: Path, vendor_url: str, folder: Path, max_cost: Decimal, ledger: str | None, *, keyed: bool
    ) -> None:
        self.run, self.url = folder / "served", ""
        self.where: Where = self.run if ledger is None else LEDGERS.name(ledger)
        shared = () if ledger is None else ("--ledger", ledger)
        vendor = f"{SynchronousVendor.__module__}:{SynchronousVendor.__name__}"
        self._words = [
            *("--adapter", vendor, "-p", f"url={vendor_url}", "-p", f"idempotent={keyed}"),
            *("--calibration", str(calibration), "--alpha", "0.9", "--run", str(self.run), "--port", "0"),
            *("--max-cost", str(max_cost), "--max-waiting", "100000", "--json", "--log", "json"),
            *shared,
        ]
        self._log = folder.with_name(f"{folder.name}-log.txt")

    def start(self) -> None:
        """Start a process, and return once it serves."""
        command = [sys.executable, "-m", "blackbox_conformal", "serve", *self._words]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert self._process.stdout is not None
        with self._process.stdout as told:
            self.url = json.loads(told.readline())["url"]

    def end(self, *, kill: bool) -> None:
        """End the process, as a crash does or as it should."""
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.wait()


class Client(threading.Thread):
    """Sends its requests one after the other, each until it is answered."""

    def __init__(self, number: int, requests: int, gateways: list[Gateway], ended: threading.Event) -> None:
        super().__init__(daemon=True)
        self._pictures = range(number * requests, (number + 1) * requests)
        self._gateways, self._ended = gateways, ended
        self.accepted: dict[str, int] = {}
        self.statuses: Counter[int] = Counter()

    def run(self) -> None:
        """Send everything."""
        for picture in self._pictures:
            content = image_png(field(picture, 16, 20))
            for attempt in itertools.count():
                if self._ended.is_set():
                    return
                if self._sent(picture, content, wait=attempt % 2 == 0):
                    break
                time.sleep(0.2)

    def _sent(self, picture: int, content: bytes, *, wait: bool) -> bool:
        """Whether a request was answered; the id that it was accepted under is noted."""
        headers = {"Idempotency-Key": str(picture), "Accept": "application/json"}
        headers |= {} if wait else {"Prefer": "respond-async"}
        files = {"image": (f"p{picture}.png", content, "image/png")}
        try:
            url = random.choice(self._gateways).url
            answer = httpx.post(f"{url}/pictures", files=files, headers=headers, timeout=120)
        except httpx.HTTPError:
            return False
        told = answer.json()
        if "id" not in told:
            return False
        self.accepted[told["id"]] = picture
        self.statuses[answer.status_code] += 1
        return answer.status_code != 202 or not wait


def states(gateways: list[Gateway], ids: list[str]) -> dict[str, dict[str, Any]]:
    """What became of each id, once it has ended."""
    found = {}
    with httpx.Client(timeout=60) as client:
        for number in ids:
            while True:
                url = random.choice(gateways).url
                told = client.get(f"{url}/pictures/{number}", headers={"Accept": "application/json"}).json()
                if told["state"] in ENDED:
                    break
                time.sleep(0.2)
            found[number] = told
    return found


def metric(gateway: Gateway, name: str) -> Decimal:
    """The sum of a metric over its labels."""
    lines = httpx.get(f"{gateway.url}/metrics", timeout=60).text.splitlines()
    return sum(
        (Decimal(line.split()[-1]) for line in lines if line.startswith(f"blackbox_conformal_{name}")), Decimal(0)
    )


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=200, help="of each client")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--alive", type=float, default=6.0, help="most seconds between two kills")
    parser.add_argument("--gateways", type=int, default=1, help="more than one share a ledger on PostgreSQL")
    parser.add_argument("--restarts", type=int, default=0, help="crashes of the PostgreSQL server")
    parser.add_argument("--plain", action="store_true", help="the vendor honours no idempotency keys")
    parser.add_argument(
        "--max-cost", type=Decimal, help="in US dollars; nine tenths of what everything costs by default"
    )
    given = parser.parse_args()
    number, keyed = given.clients * given.requests, not given.plain
    limit = given.max_cost or PRICE * number * 9 / 10
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        server = opened.enter_context(FaultServer(price_usd=str(PRICE), idempotent=keyed))
        database = opened.enter_context(postgres_server()) if given.gateways > 1 else None
        ledger = None if database is None else database.new_database()
        calibration = calibrated(folder / "calibrated", idempotent=keyed)
        server.script = chances(1, {"submit": FAULTS})
        names = [folder / f"gateway-{index}" for index in range(given.gateways)]
        gateways = [Gateway(calibration, server.url, own, limit, ledger, keyed=keyed) for own in names]
        ended = threading.Event()
        for gateway in gateways:
            gateway.start()
        clients = [Client(index, given.requests, gateways, ended) for index in range(given.clients)]
        for client in clients:
            client.start()
        luck = random.Random(1)
        troubles = ["kill"] * given.kills + ["restart"] * (given.restarts if database is not None else 0)
        luck.shuffle(troubles)
        made: Counter[str] = Counter()
        while troubles and any(client.is_alive() for client in clients):
            time.sleep(luck.uniform(0.5, given.alive))
            kind = troubles.pop()
            made[kind] += 1
            if kind == "restart" and database is not None:
                database.restart()
                continue
            gateway = luck.choice(gateways)
            gateway.end(kill=True)
            gateway.start()
        for client in clients:
            client.join()
        ids = sorted({accepted for client in clients for accepted in client.accepted})
        became = states(gateways, ids)
        spent = metric(gateways[0], "spent_usd_total")
        for gateway in gateways:
            gateway.end(kill=False)
        return _judged(gateways[0], server, limit, made, number, became, spent, keyed=keyed)


def _judged(
    gateway: Gateway,
    server: FaultServer,
    limit: Decimal,
    made: Counter[str],
    number: int,
    became: dict[str, dict[str, Any]],
    spent: Decimal,
    *,
    keyed: bool,
) -> int:
    """Print what was found; the exit code."""
    books, account = ledger_sum(gateway.where), server.account
    reasons = Counter(told["error"].partition(";")[0][:30] for told in became.values() if told["error"])
    print(f"requests {number}, {dict(made)}, ids accepted {len(became)}")
    print(f"states {dict(Counter(told['state'] for told in became.values()))}")
    print(f"errors {dict(reasons)}")
    print(f"limit {limit} USD; ledger {books['cost_usd']}, metrics {spent}, vendor {account.paid * PRICE}")
    print(f"draws that the vendor was paid for {account.paid}, different ones {account.distinct}")
    problems = ledger_verify(gateway.where).problems
    print(f"problems of the ledger {list(problems)}")
    billed = account.paid * PRICE
    true = (
        books["cost_usd"] == spent <= limit and (billed == spent if keyed else billed <= spent),
        account.paid == account.distinct,
        len(became) == number,
        not problems,
    )
    print(f"books agree and limit kept, paid once, all answered, ledger whole: {true}")
    return 0 if all(true) else 1


if __name__ == "__main__":
    sys.exit(main())
