"""Local pages over a real socket: who may ask, what is answered, how they end, assets with a tag."""

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from urllib.parse import urlsplit

import httpx
import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.gateway.http_exchange import HttpAnswer, json_answer
from blackbox_conformal.gateway.request import NotServedError
from blackbox_conformal.pages.viewer.local_site import LocalSite, PageRoute
from blackbox_conformal.pages.viewer.view_page import asset_route, template_page


def refused(_):
    raise NotServedError(409, "somebody else saved it first")


ROUTES = [
    PageRoute("GET", "/", lambda http: HttpAnswer(200, b"<!doctype html>hello", "text/html; charset=utf-8")),
    PageRoute("GET", "/things/{id}", lambda http: json_answer({"id": http.parameters["id"], **http.query})),
    PageRoute("PUT", "/things/{id}", lambda http: json_answer(http.json())),
    PageRoute("GET", "/refused", refused),
]


@pytest.fixture(scope="module")
def url():
    with LocalSite(ROUTES, largest_body=1000) as site, site.running() as url:
        yield url


def test_a_page_answers_under_its_whole_address(url):
    assert httpx.get(url).text == "<!doctype html>hello"
    assert httpx.get(f"{url}things/a%20b?order=name").json() == {"id": "a b", "order": "name"}
    assert httpx.put(f"{url}things/1", json={"x": 1}).json() == {"x": 1}
    assert httpx.get(f"{url}refused").status_code == 409
    assert "somebody else" in httpx.get(f"{url}refused").json()["detail"]


def test_nothing_is_served_without_the_token(url):
    root = url.rsplit("/", 2)[0]
    token = url.rsplit("/", 2)[1]
    assert len(token) >= 32
    for path in ("/", f"/{token}", f"/{token[:-1]}/", "/things/1", f"/x/{token}/"):
        answer = httpx.get(root + path)
        assert answer.status_code == 404, path
        assert "hello" not in answer.text
    assert token not in httpx.get(root).text


def test_other_names_for_this_machine_are_refused(url):
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::ffff:8.8.8.8]"):
        assert httpx.get(url, headers={"Host": host}).status_code in (400, 421), host
    for host in ("localhost", "localhost:80", "127.0.0.1", "[::1]:9"):
        assert httpx.get(url, headers={"Host": host}).status_code == 200, host


def test_pages_of_other_sites_cannot_write(url):
    own = url.rsplit("/", 2)[0]
    assert httpx.put(f"{url}things/1", json={}, headers={"Origin": own}).status_code == 200
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", own.replace("http:", "https:")):
        assert httpx.put(f"{url}things/1", json={}, headers={"Origin": origin}).status_code == 403, origin


def test_every_answer_keeps_the_page_apart(url):
    for address in (url, f"{url}things/1", f"{url}nothing", f"{url}refused", url[:-5]):
        headers = httpx.get(address).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "http:" not in headers["content-security-policy"]
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers


def test_paths_are_taken_as_they_are(url):
    parts = urlsplit(url)
    for path in ("../../etc/passwd", "things/../../etc/passwd", "things/..%2f..%2fetc%2fpasswd", "%2e%2e/"):
        connection = http.client.HTTPConnection(parts.netloc)
        connection.request("GET", parts.path + path)
        assert connection.getresponse().status == 404, path
        connection.close()


def test_bodies_are_limited_and_must_be_json(url):
    assert httpx.put(f"{url}things/1", content=b"[" * 2000).status_code == 413
    assert httpx.put(f"{url}things/1", content=b"[").status_code == 400


def test_it_listens_on_loopback_unless_told_otherwise():
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        with pytest.raises(UsageError, match="--beyond-loopback"):
            LocalSite(ROUTES, host=host)
    with LocalSite(ROUTES, host="0.0.0.0", beyond_loopback=True) as site:
        assert site.url.startswith("http://0.0.0.0:")


def test_each_site_has_its_own_port_and_token():
    with LocalSite(ROUTES) as one, LocalSite(ROUTES) as other:
        assert urlsplit(one.url).port != urlsplit(other.url).port
        assert urlsplit(one.url).path != urlsplit(other.url).path


PROGRAM = """
from blackbox_conformal.gateway.http_exchange import json_answer
from blackbox_conformal.pages.viewer.local_site import LocalSite, PageRoute
LocalSite([PageRoute("GET", "/", lambda http: json_answer({}))]).run(lambda url: print(url, flush=True))
print("ended well")
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_success(end):
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, env={**os.environ}
    ) as process:
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", url)
        with httpx.Client() as client:
            assert client.get(url).json() == {}
            started = time.monotonic()
            # With a connection that is kept open.
            process.send_signal(end)
            assert process.wait(20) == 0
            assert time.monotonic() - started < 10
        assert process.stdout.read() == "ended well\n"


REPORTS = "blackbox_conformal.pages.report"


def test_assets_are_files_of_the_package_with_a_tag():
    routes = [
        asset_route("page.css", [(REPORTS, "report.css"), (REPORTS, "viewer.css")]),
        asset_route("page.js", [(REPORTS, "marks.js")]),
    ]
    with LocalSite(routes) as site, site.running() as url:
        style = httpx.get(f"{url}assets/page.css")
        assert style.headers["content-type"] == "text/css; charset=utf-8"
        assert "#viewer" in style.text
        script = httpx.get(f"{url}assets/page.js")
        assert script.text.startswith('"use strict";\n{\n')
        again = httpx.get(f"{url}assets/page.js", headers={"If-None-Match": script.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert httpx.get(f"{url}assets/marks.js").status_code == 404


def test_a_page_is_made_anew_each_time():
    page = PageRoute("GET", "/", lambda http: template_page([(REPORTS, "viewer.html.jinja")]))
    with LocalSite([page]) as site, site.running() as url:
        assert httpx.get(url).headers["cache-control"] == "no-store"
