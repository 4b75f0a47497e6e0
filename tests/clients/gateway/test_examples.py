"""The examples of the page on serving run as they stand, but for the gateway's port."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from clients.gateway.conftest import CERTIFICATE
from support.gateway import picture

import blackbox_conformal

PAGE = (Path(blackbox_conformal.__file__).parent / "docs" / "serving.md").read_text(encoding="utf-8")
CLIENTS = os.environ.get("JAVASCRIPT_CLIENTS")
SECTIONS = {
    title: re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for title, text in re.findall(r"^### (\w+)\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
}
EXAMPLES = [(title, kind) for title, blocks in SECTIONS.items() for kind in dict(blocks) if kind != "sh"]
RUN = {"python": f"{sys.executable} example.py", "javascript": "node example.mjs"}
FILES = {"python": "example.py", "javascript": "example.mjs"}


def test_every_dialect_has_examples() -> None:
    both = [("Replicate", "python"), ("Replicate", "javascript"), ("fal", "python"), ("fal", "javascript")]
    assert [*both, ("OpenAI", "python"), ("LiteLLM", "python")] == EXAMPLES


@pytest.mark.parametrize(("title", "kind"), [("multipart", "sh"), *EXAMPLES])
def test_an_example_gets_the_vendors_bytes_and_the_mask(
    gateway: str, secure_gateway: str, tmp_path: Path, title: str, kind: str
) -> None:
    if kind == "javascript" and CLIENTS is None:
        pytest.skip("JAVASCRIPT_CLIENTS names no folder")
    # Python's client of fal speaks https only.
    address = secure_gateway if (title, kind) == ("fal", "python") else gateway
    blocks = {name: text.replace("127.0.0.1:8080", address.partition("//")[2]) for name, text in SECTIONS[title]}
    (tmp_path / "in.png").write_bytes(picture(400))
    (tmp_path / "cert.pem").write_bytes(CERTIFICATE.read_bytes())
    if kind in FILES:
        (tmp_path / FILES[kind]).write_text(blocks[kind])
    if kind == "javascript":
        (tmp_path / "node_modules").symlink_to(str(CLIENTS))
    script = f"set -euo pipefail\n{blocks.get('sh', '')}{RUN.get(kind, '')}"
    # LiteLLM would look prices up on the internet.
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    ended = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr.decode()
    files = {"image": ("in.png", picture(400), "image/png")}
    plain = httpx.post(f"{gateway}/pictures", files=files, timeout=60).content
    assert (tmp_path / "out.png").read_bytes() == plain
    assert (tmp_path / "mask.png").read_bytes().startswith(b"\x89PNG")
