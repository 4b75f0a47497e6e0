"""`serve --demo` and the one line of curl that it prints."""

import json
import signal
import subprocess
import sys

import httpx
import pytest

pytestmark = pytest.mark.usual_promise


@pytest.mark.slow
def test_the_demonstration_serves_its_own_picture(tmp_path):
    command = [sys.executable, "-m", "blackbox_conformal", "serve", "--demo", "--view", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        told = json.loads(process.stdout.readline())
        url = told["url"]
        (example,) = (tmp_path / "blackbox-conformal-serve-demo" / "input").iterdir()
        answer = httpx.post(f"{url}/pictures", files={"image": (example.name, example.read_bytes())}, timeout=60)
        shown = httpx.get(f"{told['view']}", timeout=60).text
        listed = httpx.get(f"{told['view']}pictures", timeout=60).json()["pictures"]
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, answer.status_code) == (0, 200)
    assert "1 picture<" in shown
    assert [name for _, name, *_ in listed] == [example.stem]
    assert 0 < float(answer.headers["x-blackbox-conformal-trusted-share"]) <= 1
    assert f"curl -F image=@blackbox-conformal-serve-demo/input/{example.name} {url}/pictures".encode() in said
