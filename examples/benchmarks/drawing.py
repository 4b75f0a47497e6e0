"""Time the sampler against a bare loop that makes the same requests and keeps nothing, in one run.

    python examples/benchmarks/drawing.py
    python examples/benchmarks/drawing.py --draws 2000 --workers 8 --size 200000

Prints one table. The vendor is a process of its own on a loopback socket, so its work does not count. The sampler
makes all draws in one call, between two halves of the bare loop, so a busy machine slows both. The bare loop has
as many threads, each with a `httpx.Client`, and discards every answer. The sampler writes each attempt to disk before
it is sent and each answer before it counts. Rates depend on the machine; the ratio and the processor time
depend on it less.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from blackbox_conformal.drawing.ledger.queries import ledger_sum
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import ImageError
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.vendor.adapter import Upload

SIGNATURE = b"\x89PNG\r\n\x1a\n"
EARLY = 1000


class Vendor(asyncio.Protocol):
    """Answers every request with bytes of its own that begin like a PNG: as little work as a server can do."""

    number = 0
    size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the answer."""
        self.transport = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        """Answer once the whole request is here."""
        self.data += data
        head, end, body = self.data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if end and len(body) >= length:
            self.data = b""
            Vendor.number += 1
            picture = SIGNATURE + b"%016d" % Vendor.number + bytes(Vendor.size - 24)
            known = b"Content-Type: image/png\r\nX-Cost-USD: 0.01\r\nX-Model: fast\r\nX-Request-Id: request-%d\r\n"
            answer = b"HTTP/1.1 200 OK\r\n" + known % Vendor.number + b"Content-Length: %d\r\n\r\n" % len(picture)
            assert isinstance(self.transport, asyncio.WriteTransport)
            self.transport.write(answer + picture)


async def serve(size: int) -> None:
    """Serve until the standard input ends; prints the address first."""
    Vendor.size = size
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Vendor, "127.0.0.1", 0, backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def serving(size: int) -> Iterator[str]:
    """The vendor's address, while it runs in a process of its own."""
    command = [sys.executable, __file__, "--serve", "--size", str(size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()


class Measured(NamedTuple):
    """Seconds by the wall clock and seconds of this process's processor time, for so many draws."""

    draws: int
    wall: float
    processor: float

    def __add__(self, other: object) -> "Measured":
        assert isinstance(other, Measured)
        return Measured(self.draws + other.draws, self.wall + other.wall, self.processor + other.processor)


def resident() -> int:
    """Resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    """Open descriptors."""
    return len(os.listdir("/proc/self/fd"))


def wanted(draws: int) -> list[Task]:
    """Two hundred draws of each of enough pictures of 3 KB."""
    uploads = [
        Upload(f"picture-{number}", f"sha256:{number:064x}", SIGNATURE + os.urandom(3000), 64, 48)
        for number in range((draws + 199) // 200)
    ]
    return [Task(uploads[number // 200], number % 200, number) for number in range(draws)]


def bare(url: str, tasks: list[Task], workers: int) -> Measured:
    """The same requests by as many threads, without a sampler."""
    left = deque(tasks)

    def work(client: httpx.Client) -> None:
        while True:
            try:
                task = left.popleft()
            except IndexError:
                return
            fields = {"scale": "4", "reference": f"{id(task):036d}", "seed": str(task.seed)}
            headers = {"Content-Type": "image/png"}
            answer = client.post(f"{url}/v1/upscale", params=fields, headers=headers, content=task.upload.png)
            assert answer.status_code == 200
            assert answer.content.startswith(SIGNATURE)

    clients = [httpx.Client() for _ in range(workers)]
    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    wall, processor = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    measured = Measured(len(tasks), time.perf_counter() - wall, time.process_time() - processor)
    for client in clients:
        client.close()
    return measured


def check(data: bytes, task: Task) -> None:
    """The cheapest possible check of a picture."""
    if not data.startswith(SIGNATURE):
        raise ImageError("expected a PNG")


def sampled(url: str, tasks: list[Task], workers: int, run: Path) -> tuple[Measured, list[tuple[int, int, int]]]:
    """The sampler's time for all draws, from the call to the last outcome; and its size on the way."""
    sizes: list[tuple[int, int, int]] = []
    with Sampler(SynchronousVendor(url=url), run, Limits(concurrency=workers), check=check) as sampler:
        wall, processor = time.perf_counter(), time.process_time()
        for number, outcome in enumerate(sampler.draw(tasks), start=1):
            assert outcome.state == "stored"
            if number in (EARLY, len(tasks)):
                sizes.append((number, resident(), descriptors()))
        measured = Measured(len(tasks), time.perf_counter() - wall, time.process_time() - processor)
    assert ledger_sum(run)["stored"] == len(tasks)
    return measured, sizes


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--size", type=int, default=8192, help="bytes of an answer")
    parser.add_argument("--folder", type=Path, default=None, help="where the run folder is made (default: temporary)")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(given.size))
        return
    tasks = wanted(given.draws)
    half = len(tasks) // 2
    with serving(given.size) as url, tempfile.TemporaryDirectory(dir=given.folder) as folder:
        bare(url, tasks[: min(half, 200)], given.workers)
        first = bare(url, tasks[:half], given.workers)
        ours, sizes = sampled(url, tasks, given.workers, Path(folder) / "run")
        loop = first + bare(url, tasks[half:], given.workers)
    print(f"{given.draws} draws, {given.workers} threads, answers of {given.size} bytes, loopback")
    print(f"{'':12}{'draws/s':>10}{'ratio':>8}{'processor ms a draw':>22}")
    for name, each in (("bare loop", loop), ("sampler", ours)):
        rate, base = each.draws / each.wall, loop.draws / loop.wall
        print(f"{name:12}{rate:10.0f}{rate / base:8.2f}{each.processor / each.draws * 1e3:22.2f}")
    for number, memory, opened in sizes:
        print(f"sampler after {number} draws: {memory / 1e6:.0f} MB resident, {opened} descriptors")


if __name__ == "__main__":
    main()
