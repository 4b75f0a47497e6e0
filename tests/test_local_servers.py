"""Server processes serve until they are told to end, whatever their standard input is."""

import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest

SERVERS = {
    "blackbox_conformal.embedded": lambda line: json.loads(line)["url"] + "/v1/health",
    "blackbox_conformal.testing": lambda line: line.strip() + "/account",
}


def start(module: str, *arguments: str, stdin: int | None) -> subprocess.Popen:
    command = [sys.executable, "-m", module, *arguments]
    if stdin is None:
        # As a service manager may start it: with no standard input at all.
        command = ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command]
    return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.parametrize("module", SERVERS)
@pytest.mark.parametrize("stdin", [subprocess.DEVNULL, None])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_without_standard_input_until_it_is_told_to_end(module, stdin, number):
    with start(module, stdin=stdin) as server:
        try:
            url = SERVERS[module](server.stdout.readline())
            with pytest.raises(subprocess.TimeoutExpired):
                server.wait(0.5)
            with urllib.request.urlopen(url, timeout=30) as answer:
                assert answer.status == 200
            os.kill(server.pid, number)
            assert server.wait(30) == 0
        finally:
            server.kill()


@pytest.mark.parametrize("module", SERVERS)
def test_while_stdin_it_ends_when_it_is_told_to_as_well(module):
    with start(module, "--while-stdin", stdin=subprocess.PIPE) as server:
        server.stdout.readline()
        os.kill(server.pid, signal.SIGTERM)
        assert server.wait(30) == 0


@pytest.mark.parametrize("module", SERVERS)
def test_while_stdin_it_ends_with_whoever_started_it(module):
    with start(module, "--while-stdin", stdin=subprocess.PIPE) as server:
        server.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            server.wait(0.5)
        server.stdin.close()
        assert server.wait(30) == 0
