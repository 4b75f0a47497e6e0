"""A connection on which something was wrong carries no further request: the next draw would get the rest of it."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.draws import draw, tasks
from support.synthetic import photograph

from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

Script = Callable[[int], bytes]
"""From the number of a request, from 0, to everything that is sent after it."""


def picture(number: int) -> bytes:
    """An answer of the size that is asked for; every number has another one."""
    return image_png(photograph(number)[:40, :48])


def answer(content: bytes, length: int | None = None) -> bytes:
    announced = len(content) if length is None else length
    return b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n%b" % (announced, content)


def in_chunks(content: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)


class Vendor:
    """A vendor that keeps its connections open, and notes on which one each request came."""

    def __init__(self, script: Script) -> None:
        self._script, self._lock = script, threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self.connections: list[int] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self._open.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection, len(self._open) - 1))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, connection.makefile("rb") as incoming, suppress(OSError):
            while incoming.readline():
                length = 0
                while line := incoming.readline().strip():
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                incoming.read(length)
                with self._lock:
                    self.connections.append(number)
                    told = self._script(len(self.connections) - 1)
                connection.sendall(told)

    def close(self) -> None:
        """Cut everything."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()


@contextmanager
def vendor(script: Script) -> Iterator[Vendor]:
    running = Vendor(script)
    try:
        yield running
    finally:
        running.close()


def drawn(run: Path, script: Script) -> tuple[list[str], list[bytes], list[int]]:
    """States and contents of three draws one after the other, and the connection of each request."""
    with vendor(script) as running:
        made = draw(SynchronousVendor(url=running.url), run, tasks(draws=3), concurrency=1)
        states = [outcome.state for outcome in made.outcomes]
        return states, list(made.pictures.values()), running.connections


def test_right_answers_come_on_one_connection(tmp_path):
    found = drawn(tmp_path, lambda number: answer(picture(number)))
    assert found == (["stored"] * 3, [picture(number) for number in range(3)], [0, 0, 0])


@pytest.mark.parametrize("framed", [answer, in_chunks])
def test_a_second_answer_to_one_request_is_nobodys(tmp_path, framed):
    found = drawn(tmp_path, lambda number: framed(picture(number)) + (answer(picture(9)) if number == 0 else b""))
    assert found == (["stored"] * 3, [picture(number) for number in range(3)], [0, 1, 1])


def test_an_answer_that_is_longer_than_announced_spoils_no_other(tmp_path):
    def script(number: int) -> bytes:
        content = picture(number)
        return answer(content, len(content) - 7 if number == 0 else None)

    states, pictures, connections = drawn(tmp_path, script)
    assert (states, connections) == (["invalid", "stored", "stored"], [0, 1, 1])
    assert pictures == [picture(1), picture(2)]


def test_after_an_answer_that_is_no_such_picture_the_connection_is_closed(tmp_path):
    found = drawn(tmp_path, lambda number: answer(b"no picture" if number == 1 else picture(number)))
    assert found == (["stored", "invalid", "stored"], [picture(0), picture(2)], [0, 0, 1])
