"""What pages are made of: assets that browsers ask about again."""

import httpx

from blackbox_conformal.pages.viewer.local_site import LocalSite, PageRoute
from blackbox_conformal.pages.viewer.view_page import asset_route, template_page

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
