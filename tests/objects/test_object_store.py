"""Contents by names in a folder and in buckets of real servers; what a server does not heed is found out."""

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.forwarding_proxy import forwarding_proxy
from support.s3_server import make_bucket

from blackbox_conformal.drawing.object_store import (
    BlobStore,
    BucketAddress,
    ChangedError,
    refuse_unconditional,
    store_at,
)
from blackbox_conformal.errors import IncompleteError, UsageError


@pytest.fixture(params=["folder", "moto", "seaweedfs"])
def store(request: pytest.FixtureRequest, tmp_path: Path, serve: Callable[[str], str]) -> BlobStore:
    if request.param == "folder":
        return store_at(str(tmp_path / "store"))
    return store_at(make_bucket(serve(request.param), f"store-{secrets.token_hex(4)}") + "/runs/x")


def test_the_first_content_of_a_name_stays(store: BlobStore) -> None:
    content = bytes(range(256)) * 40_000
    assert store.get("samples/ab/é x") is None
    assert store.head("samples/ab/é x") is None
    assert store.put_if_absent("samples/ab/é x", content)
    assert not store.put_if_absent("samples/ab/é x", b"other")
    assert store.get("samples/ab/é x") == content
    found = store.head("samples/ab/é x")
    assert found is not None
    assert found.size == len(content)
    store.replace("samples/ab/é x", b"new")
    assert store.get("samples/ab/é x") == b"new"
    store.remove("samples/ab/é x")
    assert store.get("samples/ab/é x") is None


def test_of_many_who_put_one_name_one_succeeds(store: BlobStore) -> None:
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda number: store.put_if_absent("name", b"%d" % number), range(16)))
    assert won.count(True) == 1
    assert store.get("name") == b"%d" % won.index(True)


def test_names_are_listed_below_a_folder_and_not_below_one_that_only_begins_so(store: BlobStore) -> None:
    for name in ("a/1", "a/b/2", "ab/3"):
        store.put_if_absent(name, b"x")
    assert sorted(found.name for found in store.names()) == ["a/1", "a/b/2", "ab/3"]
    assert sorted(found.name for found in store.names("a")) == ["a/1", "a/b/2"]
    assert list(store.names("none")) == []


def test_a_content_that_was_changed_since_it_was_listed_is_not_given(bucket: str) -> None:
    store = store_at(bucket)
    store.replace("a.png", b"listed")
    (found,) = store.names()
    assert store.get("a.png", found.tag) == b"listed"
    store.replace("a.png", b"changed")
    with pytest.raises(ChangedError, match="was changed"):
        store.get("a.png", found.tag)


def test_the_test_of_a_store_leaves_nothing(store: BlobStore) -> None:
    refuse_unconditional(store)
    assert list(store.names()) == []


@pytest.mark.parametrize("s3_url", ["moto"], indirect=True)
def test_a_server_that_ignores_conditions_is_refused(bucket: str, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with forwarding_proxy(s3_url, drop="if-none-match") as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        store = store_at(f"{bucket}/runs")
        assert store.put_if_absent("name", b"first")
        assert store.put_if_absent("name", b"second"), "the proxy heeds the condition after all"
        with pytest.raises(UsageError, match=r"was overwritten.*leave --store out"):
            refuse_unconditional(store)
        assert [found.name for found in store.names()] == ["name"]


@pytest.mark.parametrize("s3_url", ["moto"], indirect=True)
def test_a_server_that_gives_back_other_bytes_is_refused(
    bucket: str, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forwarding_proxy(s3_url, altered=True) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        with pytest.raises(UsageError, match="not what was got"):
            refuse_unconditional(store_at(bucket))


def test_what_is_wrong_is_said_without_any_key(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="a bucket that exists; s3://no-such-bucket-here"):
        list(store_at("s3://no-such-bucket-here").names())
    monkeypatch.setattr("blackbox_conformal.drawing.object_store.RETRIES", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(IncompleteError, match="did not answer") as caught:
        store_at("s3://bucket").get("name")
    assert "s3cr3t" not in str(caught.value)
    assert "AKIA" not in str(caught.value)


@pytest.mark.parametrize("s3_url", ["seaweedfs"], indirect=True)
def test_a_wrong_key_is_refused_in_words(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret-key-of-somebody")
    with pytest.raises(UsageError, match=r"refuses access.*AWS_ACCESS_KEY_ID"):
        store_at(bucket).put_if_absent("name", b"x")


@pytest.mark.parametrize(
    "text",
    [
        "s3://",
        "s3:///key",
        "s3://key:secret@bucket/a",
        "s3://bucket/a/../b",
        "s3://bucket//a",
        "s4://bucket",
        "s3://b\n",
    ],
)
def test_other_texts_are_no_addresses(text: str) -> None:
    with pytest.raises(UsageError, match="expected an address such as s3://bucket/photographs") as caught:
        BucketAddress.of_text(text)
    assert "secret" not in str(caught.value)


def test_an_unencrypted_way_to_another_machine_has_to_be_agreed_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://storage.example:9000")
    with pytest.raises(UsageError, match="AWS_ALLOW_HTTP=true"):
        store_at("s3://bucket")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    store_at("s3://bucket")
