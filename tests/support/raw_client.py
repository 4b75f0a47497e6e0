"""A client that reads whatever comes, for looking at the fault server from outside."""

import io
import socket
from dataclasses import dataclass

import numpy as np
from PIL import Image

from blackbox_conformal.testing.fault_server import FaultServer


@dataclass(frozen=True)
class Raw:
    """The bytes that came before the end, and how the end came: fin, rst or silence."""

    data: bytes
    end: str

    @property
    def status(self) -> int:
        """Of the first answer."""
        return int(self.data.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        """Lower-case."""
        lines = self.data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}

    @property
    def body(self) -> bytes:
        """Everything after the head."""
        return self.data.partition(b"\r\n\r\n")[2]


def png(width: int = 16, height: int = 12, seed: int = 0) -> bytes:
    """A small photograph-like PNG."""
    rows = np.linspace(0, 200, height)[:, None, None] + np.linspace(0, 50, width)[None, :, None]
    noise = np.random.default_rng(seed).integers(0, 40, (height, width, 3))
    out = io.BytesIO()
    Image.fromarray(np.clip(rows + noise, 0, 255).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def talk(
    server: FaultServer,
    method: str = "POST",
    target: str = "/v1/upscale?seed=5",
    body: bytes | None = None,
    headers: str = "",
    timeout: float = 20.0,
    at_most: int = 4_000_000,
    close: bool = True,
) -> Raw:
    """Send one request and read until the end, silence, or `at_most` bytes."""
    body = png() if body is None and method == "POST" else body or b""
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{headers}"
    head += "Connection: close\r\n\r\n" if close else "\r\n"
    data = b""
    try:
        opened = socket.create_connection(("127.0.0.1", server.port), timeout=timeout)
    except ConnectionResetError:
        # The reset may overtake the end of the handshake.
        return Raw(data, "rst")
    end = "fin"
    with opened as sock:
        try:
            sock.sendall(head.encode() + body)
        except ConnectionResetError:
            # The system tells of a reset once: reading then ends as after a FIN.
            end = "rst"
        except ConnectionError:
            pass
        while len(data) < at_most:
            try:
                more = sock.recv(65536)
            except TimeoutError:
                return Raw(data, "silence")
            except ConnectionResetError:
                return Raw(data, "rst")
            if not more:
                return Raw(data, end)
            data += more
    return Raw(data, "more")
