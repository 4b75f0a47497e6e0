"""What a gateway adds to a vendor: requests a second and seconds against a bare proxy of the same framework, memory.

    python examples/serve_load.py PHOTOGRAPHS [--side 1024] [--seconds 20] [--clients 8] [--wait 0] [--score NAME]
    python examples/serve_load.py PHOTOGRAPHS --side 64 --requests 10000        # memory

PHOTOGRAPHS holds pictures of more than `--side` pixels a side. The vendor sends prepared answers, `--wait` seconds
after it was asked. Every request is another picture, so none is answered from the run folder. `wrk` sends them, on this
machine.
"""

import argparse
import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import blackbox_conformal as bc
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.method.images.making_inputs import upload_from
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

SCALE = 4
CALIBRATED = 12
BOUNDARY = "picture"
WARMING = 16
WRK = """
local bodies, number = {}, 0
for index = FIRST, FIRST + COUNT - 1 do
  local file = io.open(string.format("FOLDER/%05d.body", index), "rb")
  bodies[index - FIRST] = file:read("*a"); file:close()
end
local headers = {["Content-Type"] = "multipart/form-data; boundary=BOUNDARY"}
request = function()
  local body = bodies[number % COUNT]
  number = number + 1
  return wrk.format("POST", "/pictures", headers, body)
end
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format('{"requests": %d, "seconds": %f, "p50": %f, "p95": %f, "errors": %d}\\n', summary.requests,
    summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(95) / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


def squares(folder: Path, side: int, count: int) -> Iterator[np.ndarray]:
    """Squares of photographs, each at another place: (side, side, 3) uint8."""
    random = np.random.default_rng(0)
    pictures = [read_image(path).pixels for path in sorted(folder.iterdir())]
    large = [pixels for pixels in pictures if min(pixels.shape[:2]) >= side + SCALE]
    for number in range(count):
        pixels = large[number % len(large)]
        row, column = (random.integers(0, size - side) for size in pixels.shape[:2])
        yield np.ascontiguousarray(pixels[row : row + side, column : column + side])


def prepared(photographs: Path, folder: Path, side: int, count: int) -> dict[str, bytes]:
    """Write photographs to calibrate on and bodies to send; the vendor's answers by the digest of what it is sent."""
    answers: dict[str, bytes] = {}
    bicubic = Mixture.of_text("bicubic")
    (folder / "photographs").mkdir()
    (folder / "bodies").mkdir()
    for number, truth in enumerate(squares(photographs, side, CALIBRATED + count)):
        low = bicubic.apply(truth, SCALE)
        png, sent = image_png(truth), upload_from(low, "picture").png
        answers[hashlib.sha256(sent).hexdigest()] = png
        if number < CALIBRATED:
            (folder / "photographs" / f"{number}.png").write_bytes(png)
            continue
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{number}.png"\r\n'
        body = f"{head}Content-Type: image/png\r\n\r\n".encode() + sent + f"\r\n--{BOUNDARY}--\r\n".encode()
        (folder / "bodies" / f"{number - CALIBRATED:05d}.body").write_bytes(body)
    return answers


def vendor_of(answers: dict[str, bytes], wait: float) -> Starlette:
    """The vendor."""

    async def upscale(request: Request) -> Response:
        png = answers[hashlib.sha256(await request.body()).hexdigest()]
        await asyncio.sleep(wait)
        return Response(png, media_type="image/png", headers={"X-Cost-USD": "0.01", "X-Model": "prepared-1"})

    return Starlette(routes=[Route("/v1/upscale", upscale, methods=["POST"])])


def proxy_of(vendor_url: str) -> Starlette:
    """What a proxy of the same framework must do: read the form, ask the vendor, answer."""
    client = httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=64))

    async def forward(request: Request) -> Response:
        async with request.form() as form:
            picture = form["image"]
            assert not isinstance(picture, str)
            content = await picture.read()
        answer = await client.post(f"{vendor_url}/v1/upscale", content=content)
        return Response(answer.content, answer.status_code, media_type="image/png")

    return Starlette(routes=[Route("/pictures", forward, methods=["POST"])])


@contextmanager
def served(application: Starlette) -> Iterator[str]:
    """Address of an application that runs in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        config = uvicorn.Config(application, port=0, log_level="error")
        server, listening = uvicorn.Server(config), config.bind_socket()
        os.write(writing, str(listening.getsockname()[1]).encode())
        os.close(writing)
        server.run([listening])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        port = int(told.read())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.kill(child, 15)
        os.waitpid(child, 0)


@contextmanager
def gateway(calibration: Path, vendor_url: str, folder: Path) -> Iterator[tuple[str, int]]:
    """Address and process of a gateway."""
    vendor = f"{SynchronousVendor.__module__}:{SynchronousVendor.__name__}"
    words = ["--calibration", str(calibration), "--alpha", "0.2", "--adapter", vendor, "-p", f"url={vendor_url}"]
    words += ["--run", str(folder / "served"), "--max-calls", "1000000", "--max-waiting", "100000", "--outside", "0"]
    command = [sys.executable, "-m", "blackbox_conformal", "serve", *words, "--port", "0", "--json", "--log", "json"]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"], process.pid
    finally:
        process.terminate()
        process.wait()


def load(url: str, folder: Path, bodies: range, seconds: int, clients: int) -> dict[str, float]:
    """What wrk measures."""
    script = folder / "load.lua"
    known = {"FIRST": bodies.start, "COUNT": len(bodies), "FOLDER": folder / "bodies", "BOUNDARY": BOUNDARY}
    text = WRK
    for word, value in known.items():
        text = text.replace(word, str(value))
    script.write_text(text)
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "-s", str(script), url]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(json.loads(out.splitlines()[-1]))


def resident(process: int) -> float:
    """MB that a process holds."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def answered(url: str, folder: Path, numbers: Iterable[int], clients: int) -> Iterator[None]:
    """Send the bodies of these numbers by several clients; yield after each answer."""
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}

    def send(number: int) -> None:
        content = (folder / "bodies" / f"{number:05d}.body").read_bytes()
        client.post(f"{url}/pictures", content=content, headers=headers).raise_for_status()

    with httpx.Client(timeout=120) as client, ThreadPoolExecutor(clients) as pool:
        yield from pool.map(send, numbers)


def memory(url: str, process: int, folder: Path, count: int, clients: int) -> None:
    """Send every body once and print what the gateway's process holds on the way."""
    for done, _ in enumerate(answered(url, folder, range(count), clients), 1):
        if done % (count // 10) == 0:
            print(f"{done} requests: {resident(process):.0f} MB", flush=True)


def main() -> None:
    """Calibrate, then load vendor, proxy and gateway in turn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--wait", type=float, default=0.0)
    parser.add_argument("--score", default="learned")
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--requests", type=int, help="Measure memory over so many requests instead.")
    options = parser.parse_args()
    count = options.requests or options.pictures
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        answers = prepared(options.photographs, folder, options.side, count)
        with served(vendor_of(answers, options.wait)) as vendor_url:
            vendor = SynchronousVendor(url=vendor_url)
            calibration = bc.calibrate(
                vendor, folder / "photographs", run=folder / "run", draws=1, score=options.score, max_calls=CALIBRATED
            ).save(folder / "calibration.json")
            del answers
            if options.requests:
                with gateway(calibration, vendor_url, folder) as (url, process):
                    memory(url, process, folder, count, options.clients)
                return
            sent = range(WARMING, count)
            with served(proxy_of(vendor_url)) as proxy_url:
                bare = load(proxy_url, folder, sent, options.seconds, options.clients)
            with gateway(calibration, vendor_url, folder) as (url, process):
                load(url, folder, range(WARMING), 3, options.clients)
                masked = load(url, folder, sent, options.seconds, options.clients)
                held = resident(process)
    for name, found in (("bare proxy", bare), ("gateway", masked)):
        rate = found["requests"] / found["seconds"]
        print(
            f"{name}: {rate:.1f} requests/s, median {found['p50']:.3f} s, p95 {found['p95']:.3f} s, "
            f"{found['errors']:.0f} errors, {found['requests']:.0f} requests"
        )
    print(f"seconds of a request: gateway / proxy {masked['p95'] / bare['p95']:.2f} at p95; {held:.0f} MB held")
    if masked["requests"] > len(sent):
        print("more requests than pictures: give --pictures more, since later ones were answered from the run folder")


if __name__ == "__main__":
    main()
