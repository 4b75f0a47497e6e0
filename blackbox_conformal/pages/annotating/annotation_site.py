"""What the page asks for: pictures, marks and their versions, files of annotation tools, and how far people agree."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from isal import isal_zlib

from blackbox_conformal.annotations.annotation_file import Levels
from blackbox_conformal.annotations.combine import agreement, people_of
from blackbox_conformal.annotations.convert import read_format
from blackbox_conformal.annotations.formats.format import Format, Marked
from blackbox_conformal.annotations.marks import ForestalledError, Marks
from blackbox_conformal.errors import FileFormatError, UsageError
from blackbox_conformal.gateway.http_exchange import HttpAnswer, HttpRequest, json_answer
from blackbox_conformal.gateway.not_served import NotServedError
from blackbox_conformal.method.images.encode import image_png
from blackbox_conformal.pages.annotating.pairs import Pairs, ShownPair
from blackbox_conformal.pages.viewer.local_site import PageRoute
from blackbox_conformal.pages.viewer.page_files import asset_route, download, template_page, unchanging
from blackbox_conformal.support import catalog
from blackbox_conformal.support.text import file_stem

PACKAGE = "blackbox_conformal.pages.annotating"
SCRIPTS = ("raster.js", "marks.js", "panels.js", "saving.js", "tools.js", "annotate.js")
GRADES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""What the keys 1 to 9 and 0 paint."""


class AnnotationSite:
    """The routes of the page.

    Parameters
    ----------
    pairs
        What is marked.
    folder
        Of annotations.
    annotator
        Who marks, unless a window says that it is another person.
    """

    def __init__(self, pairs: Pairs, folder: Path, annotator: str) -> None:
        self._pairs, self._folder = pairs, folder
        # Refused here: a name that cannot be a file's would fail at the first save.
        self._annotator = Marks(folder, annotator).annotator
        self._formats = sorted(catalog.names("annotations.formats"))

    @property
    def routes(self) -> Sequence[PageRoute]:
        """Addresses and what answers them."""
        return [
            PageRoute("GET", "/", self._page),
            PageRoute("GET", "/agreement", self._agreement),
            PageRoute("GET", "/pictures", self._list),
            PageRoute("GET", "/pictures/{index}", self._one),
            PageRoute("GET", "/pictures/{index}/{side}.png", self._picture),
            PageRoute("GET", "/pictures/{index}/marks", self._load),
            PageRoute("PUT", "/pictures/{index}/marks", self._save),
            PageRoute("PUT", "/pictures/{index}/imported", self._import),
            PageRoute("GET", "/pictures/{index}/exported/{format}", self._export),
            asset_route("annotate.css", [(PACKAGE, "annotate.css")]),
            asset_route("annotate.js", [(PACKAGE, script) for script in SCRIPTS]),
        ]

    def _page(self, http: HttpRequest) -> HttpAnswer:
        return template_page(
            [(PACKAGE, "annotate.html.jinja")],
            annotator=self._annotator,
            names=self._pairs.names,
            formats=self._formats,
            grades=GRADES,
            missing=self._pairs.missing,
        )

    def _agreement(self, http: HttpRequest) -> HttpAnswer:
        found = agreement(self._folder) if people_of(self._folder) else None
        # The reference alone names a row: the person who marks need not wait for pictures to be made.
        # Sixteen digits of the digest, as names of mark files have them.
        names = {reference.removeprefix("sha256:")[:16]: name for reference, name in self._by_reference().items()}
        rows = [
            (names.get(picture.stem.partition("-")[0], picture.stem), picture)
            for picture in (found.pictures if found else ())
        ]
        return template_page(
            [(PACKAGE, "agreement.html.jinja")], found=found, rows=sorted(rows, key=lambda row: row[0])
        )

    def _by_reference(self) -> Mapping[str, str]:
        return dict(zip(self._pairs.references, self._pairs.names, strict=True))

    def _list(self, http: HttpRequest) -> HttpAnswer:
        """Which pictures the person has marked; whether of this very output is known once a picture is opened."""
        marked = {stem.partition("-")[0] for stem in self._marks(http).marked()}
        shorts = [reference.removeprefix("sha256:")[:16] for reference in self._pairs.references]
        return json_answer({"marked": [short in marked for short in shorts]})

    def _one(self, http: HttpRequest) -> HttpAnswer:
        index, shown = self._shown(http)
        height, width = shown.truth.shape[:2]
        return json_answer(
            {"name": self._pairs.names[index], "width": width, "height": height, "pair": shown.pair.stem}
        )

    def _picture(self, http: HttpRequest) -> HttpAnswer:
        _, shown = self._shown(http)
        sides = {"reference": shown.truth, "output": shown.delivered}
        side = http.parameters["side"]
        if side not in sides:
            raise NotServedError(404, "expected reference.png or output.png")
        return unchanging(http, image_png(sides[side]), "image/png")

    def _load(self, http: HttpRequest) -> HttpAnswer:
        _, shown = self._shown(http)
        levels, version = self._marks(http).load(shown.pair, shown.truth.shape[:2])
        # Marks change while the page is open, so no browser may keep them.
        headers = {"Cache-Control": "no-store", **({} if version is None else {"ETag": f'"{version}"'})}
        body = b"" if levels is None else levels.tobytes()
        return HttpAnswer(204 if levels is None else 200, body, "application/octet-stream", headers)

    def _save(self, http: HttpRequest) -> HttpAnswer:
        """Take marks made from the version in If-Match; none, from nothing; ``*``, whatever is stored."""
        index, shown = self._shown(http)
        # Marks of one picture laid over another would be wrong everywhere.
        if http.query.get("pair") != shown.pair.stem:
            raise NotServedError(409, "this picture is not the one that was marked; the vendor answered anew. Reload")
        size = shown.truth.shape[:2]
        levels = _inflated(http, size)
        # A version that another window saved meanwhile is not overwritten.
        made_from = http.headers.get("if-match", "").strip('"') or None
        try:
            version = self._marks(http).save(
                shown.pair, levels, made_from, replace=made_from == "*", picture=self._pairs.names[index]
            )
        except ForestalledError as error:
            raise NotServedError(412, str(error)) from None
        return json_answer({"version": version}, headers={"ETag": f'"{version}"'})

    def _import(self, http: HttpRequest) -> HttpAnswer:
        """The levels in a file of an annotation tool; nothing is stored."""
        index, shown = self._shown(http)
        name, form = self._pairs.names[index], self._format(http.query.get("format", ""))
        with tempfile.TemporaryDirectory() as folder:
            # As the file was called: by its own name a reader may tell that it is of another picture.
            given = Path(http.query.get("name", ""))
            path = Path(folder) / f"{file_stem(given.stem)}{given.suffix[:8]}"
            path.write_bytes(http.body)
            try:
                levels = read_format(form, path, frozenset({name, file_stem(name)}), shown.truth.shape[:2])
            except (UsageError, FileFormatError) as error:
                # The temporary folder's name is no business of the page.
                raise NotServedError(400, str(error).replace(f"{path.parent}/", "")) from None
        return HttpAnswer(200, levels.tobytes(), "application/octet-stream")

    def _export(self, http: HttpRequest) -> HttpAnswer:
        """What is stored of the person's marks, as the one file of another format."""
        index, shown = self._shown(http)
        levels, _ = self._marks(http).load(shown.pair, shown.truth.shape[:2])
        if levels is None:
            raise NotServedError(404, "expected saved marks of this picture; there are none. Save it first")
        exporter: Format = catalog.load("annotations.formats", self._format(http.parameters["format"]))
        files = exporter.write([Marked(f"{file_stem(self._pairs.names[index])}.png", levels)])
        [(name, content)] = files.items()
        return download(content, name, "application/octet-stream")

    def _shown(self, http: HttpRequest) -> tuple[int, ShownPair]:
        text = http.parameters["index"]
        # Digits and few of them, so that no endless number is converted.
        index = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else len(self._pairs)
        if index >= len(self._pairs):
            raise NotServedError(404, f"expected a picture from 0 to {len(self._pairs) - 1}")
        return index, self._pairs.shown(index)

    def _format(self, name: str) -> str:
        if name not in self._formats:
            raise NotServedError(404, f"expected a format: {', '.join(self._formats)}")
        return name

    def _marks(self, http: HttpRequest) -> Marks:
        try:
            return Marks(self._folder, http.query.get("annotator") or self._annotator)
        except UsageError as error:
            raise NotServedError(400, str(error)) from None


def _inflated(http: HttpRequest, size: tuple[int, int]) -> Levels:
    """The levels, (H, W) uint8, in a body of one byte a pixel, deflated or not."""
    count, body = size[0] * size[1], http.body
    if http.headers.get("content-encoding") == "deflate":
        try:
            # One byte more than a picture has shows a body that is too long, without inflating it.
            body = isal_zlib.decompressobj().decompress(body, count + 1)
        except isal_zlib.error:
            raise NotServedError(400, "expected a deflated body; this one is damaged. Save again") from None
    if len(body) != count:
        raise NotServedError(400, f"expected {count} bytes, one a pixel; got {len(body)}")
    return np.frombuffer(body, np.uint8).reshape(size)
