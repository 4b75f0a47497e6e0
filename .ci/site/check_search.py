"""What newcomers type into the site's search finds a page that helps."""

import json
import re
from pathlib import Path

from sphinx.search.en import SearchEnglish

SEARCHES = {
    "accuracy": "glossary",
    "API key": "your-vendor",
    "C2PA": "images",
    "ComfyUI": "offline",
    "completion": "commands",
    "confidence": "guarantees",
    "cost": "planning",
    "deepfake": "glossary",
    "denoise": "tasks",
    "Docker": "serving",
    "EU AI Act": "marking",
    "faces": "tasks",
    "GPU": "index",
    "hallucination": "glossary",
    "heatmap": "glossary",
    "HEIC": "images",
    "install": "index",
    "iPhone": "glossary",
    "JPEG": "inputs",
    "license": "glossary",
    "price": "planning",
    "privacy": "glossary",
    "satellite": "glossary",
    "upscaler": "glossary",
    "video": "video",
    "watermark": "glossary",
}
"""What is typed, and a page that must be among those found."""


def searches_without_page(site: Path) -> list[str]:
    """The searches that miss their page, one a line. As in the browser, a page must hold every word."""
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text[text.index("(") + 1 : text.rindex(")")])
    stem = SearchEnglish({}).stem
    missed = []
    for search, page in SEARCHES.items():
        number = index["docnames"].index(page)
        for word in re.findall(r"\w+", search.lower()):
            held = [index[terms].get(stem(word), []) for terms in ("terms", "titleterms")]
            if not any(number in ([pages] if isinstance(pages, int) else pages) for pages in held):
                missed.append(f"the search for {search!r} does not find {page}.md: it lacks the word {word!r}")
    return missed
