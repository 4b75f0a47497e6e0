"""Every link within a site, also in its `llms.txt`, leads to a page, a file or an anchor that exists."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The anchors of a page, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag defines and what it links to."""
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value)
            elif name in ("href", "src"):
                self.links.append(value)


def dead_links(site: Path) -> list[str]:
    """The links that lead nowhere, one a line. Those to other servers are not followed."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    for path in site.glob("*.txt"):
        pages[path.resolve()] = page = Page("")
        page.links = re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            missing = not target.exists() or (target.is_dir() and not (target / "index.html").exists())
            known = pages.get(target)
            if missing or (known and parts.fragment and unquote(parts.fragment) not in known.anchors):
                dead.append(f"{path.relative_to(site.resolve())}: {link} leads nowhere")
    return dead
