"""The viewer's page over a run folder: its addresses and their answers."""

import json
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import ShownErrors
from blackbox_conformal.errors import FileFormatError, ImageError, IncompleteError
from blackbox_conformal.gateway.guard import Application, Message, Receive, Send
from blackbox_conformal.gateway.http_exchange import HttpAnswer, HttpRequest, json_answer
from blackbox_conformal.gateway.request import NotServedError
from blackbox_conformal.method.images.encode import image_png, mask_png
from blackbox_conformal.method.images.read import read_image
from blackbox_conformal.method.metrics._detail import kinds_of_detail
from blackbox_conformal.method.risk.whole_errors import SHOWN
from blackbox_conformal.method.safe_pictures import picture_to_show, safe_picture
from blackbox_conformal.pages.notebook import environment, template_text
from blackbox_conformal.pages.report.cards import sentence
from blackbox_conformal.pages.report.encoded import webp
from blackbox_conformal.pages.report.error_pairs import block_side
from blackbox_conformal.pages.report.full_size import (
    PARTS,
    FullSize,
    Part,
    packed,
    part_path,
    read_entry,
    unpacked,
    viewer_levels,
)
from blackbox_conformal.pages.report.html import level_to_open_at
from blackbox_conformal.pages.report.page import Histogram, slider_of
from blackbox_conformal.pages.report.preview import Named, by_name, names_apart
from blackbox_conformal.pages.report.report_store import ReportStore
from blackbox_conformal.pages.report.slider_levels import Stop, stops_at, thresholds_of
from blackbox_conformal.pages.viewer.local_site import PageRoute, guarded
from blackbox_conformal.study.mask.products import Result, xmp_of
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.text import file_stem, printable, vendor_title
from blackbox_conformal.support.types import Image, Mask
from blackbox_conformal.support.wording import share

# Full-size pictures of a run folder: an index that fits into memory, and the files of one picture when asked.

NO_TRUST = ("outside-calibration", "not-judged")


@dataclass(frozen=True, slots=True)
class Listed(Named):
    """A picture in the index; `number` is its row in the tables of shares and losses."""

    number: int
    size: tuple[int, int]


class RunPictures:
    """All full-size pictures of a folder for one calibration.

    Only files that the index names are read, and only with the digest of their entry. `pictures` holds masked pictures
    first, then by name, then later ones. `stops` are the levels that are exact in every picture at the start; a folder
    without pictures takes the `expected` levels beside the usual ones.
    """

    def __init__(self, folder: Path, calibration: Calibration, expected: Sequence[float] = ()) -> None:
        self._folder = folder / "full-size"
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}
        self._shares: list[NDArray[np.float32]] = []
        self._losses: list[NDArray[np.float32]] = []
        self.pictures: dict[str, Listed] = {}
        self._left_out: dict[str, tuple[str, str]] = {}
        entries = self._read_new()
        common = set.intersection(*(set(entry.alphas) for entry in entries)) if entries else set(expected)
        self.stops: list[Stop] = stops_at(calibration, viewer_levels(calibration, sorted(common)))
        self.thresholds = thresholds_of(self.stops)
        self._mixture = calibration.procedure.mixture
        errors, levels = calibration.squared_errors, [float(threshold) for threshold in self.thresholds]
        outside, inside = ([of(errors, level) for level in levels] for of in (ShownErrors.outside, ShownErrors.inside))
        self.shown = ["enlargement" if choice is None else choice.shown() for choice in outside]
        self.inside = ["delivered" if choice is None else choice.trusted() for choice in inside]
        self._add(entries)

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """Return the name of each entry that cannot be shown, and why."""
        return list(self._left_out.values())

    def refresh(self) -> None:
        """Add pictures that were masked or audited meanwhile; all others keep their places."""
        with self._lock:
            self._add(self._read_new())

    def at_stop(self, stop: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return shares and losses of all pictures in order; a loss is NaN where the truth is unknown."""
        with self._lock:
            shares, losses = ([row[stop] for row in rows] for rows in (self._shares, self._losses))
        return np.array(shares, np.float32), np.array(losses, np.float32)

    def of_picture(self, stem: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return shares and losses of one picture at all stops."""
        number = self.pictures[stem].number
        return self._shares[number], self._losses[number]

    def _read_new(self) -> list[FullSize]:
        # Entries that were not read before, or were replaced since.
        entries = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                written = path.stat().st_mtime_ns
                if self._seen.get(path.name) == written:
                    continue
                entries.append(read_entry(path))
            except FileFormatError as error:
                self._left_out[path.stem] = path.name, str(error)
            except OSError:
                continue
            self._seen[path.name] = written
        return sorted(entries, key=lambda one: (one.kind != "result", by_name(one.name), one.stem))

    def _add(self, entries: Sequence[FullSize]) -> None:
        for entry in entries:
            places = self._places(entry)
            if places is None:
                why = "it was kept with other levels; mask or audit it again, which costs nothing, and start anew"
                self._left_out[entry.stem] = printable(entry.name), why
                continue
            self._left_out.pop(entry.stem, None)
            losses = np.full(len(places), math.nan) if entry.losses is None else entry.losses[places]
            own = [entry.shares[places].astype(np.float32)], [losses.astype(np.float32)]
            there = self.pictures.get(entry.stem)
            number = len(self._shares) if there is None else there.number
            self._shares[number : number + 1], self._losses[number : number + 1] = own
            name, source = printable(entry.name, 80), printable(entry.source, 80)
            self.pictures[entry.stem] = Listed(entry.stem, name, entry.kind, source, number, entry.size)

    def entry(self, stem: str) -> FullSize | None:
        """Return the entry of a picture of the index; None: it is not in the index."""
        return read_entry(self._folder / f"{stem}.json") if stem in self.pictures else None

    def part(self, entry: FullSize, part: Part) -> bytes:
        try:
            content = part_path(self._folder, entry.stem, part).read_bytes()
        except OSError as error:
            raise IncompleteError(f"{part} of this picture cannot be read: {error.strerror}") from None
        if digest_bytes(content) != entry.digests.get(part):
            raise IncompleteError(
                f"{part} of this picture is not the file that was kept; it was changed. Mask or audit it again"
            )
        return content

    def first_stops(self, entry: FullSize) -> NDArray[np.uint8]:
        """Return (256,) uint8: for each byte of a level, the slider's first stop that trusts such pixels; 255: none."""
        places = self._places(entry)
        if places is None:
            raise IncompleteError("this picture was kept with other levels; mask or audit it again")
        first = np.searchsorted(places, np.arange(256), side="left")
        stops: NDArray[np.uint8] = np.where(first < len(places), first, 255).astype(np.uint8)
        return stops

    def mask(self, entry: FullSize, stop: int) -> Mask:
        """Return (H, W) bool: the trusted pixels at a stop."""
        levels = unpacked(self.part(entry, "levels"), entry.size)
        mask: Mask = self.first_stops(entry)[levels] <= stop
        return mask

    def pixels(self, entry: FullSize, part: Part) -> Image:
        """Return (H, W, 3) uint8 of a part that is a picture; errors as `part`."""
        content = self.part(entry, part)
        try:
            pixels = read_image(content).pixels
        except ImageError as error:
            raise IncompleteError(f"{part} of this picture: {error}") from None
        if part != "low" and pixels.shape[:2] != entry.size:
            raise IncompleteError(f"{part} of this picture has another size than its entry says")
        return pixels

    def safe(self, entry: FullSize, stop: int) -> Image:
        """Return the safe picture at a stop, as `mask --safe` makes it."""
        mask = self.mask(entry, stop)
        if is_outside(entry):
            mask = np.zeros_like(mask)
        inside, outside = self.inside[stop], self.names_shown(entry)[stop]
        shown = {name: self.to_show(entry, name) for name in {inside, outside}}
        return safe_picture(shown[inside], mask, shown[outside])

    def names_shown(self, entry: FullSize) -> list[str]:
        """Return, for each stop, which picture of `SHOWN` a safe picture shows outside the mask."""
        return ["enlargement"] * len(self.stops) if is_outside(entry) else self.shown

    def to_show(self, entry: FullSize, name: str) -> Image:
        """Return a picture of `SHOWN`, (H, W, 3) uint8."""
        return picture_to_show(name, self.pixels(entry, "delivered"), self.pixels(entry, "low"), self._mixture)

    def detail(self, entry: FullSize) -> NDArray[np.uint8]:
        """Return (H, W) uint8: what was added to each pixel; see `kinds_of_detail`."""
        return kinds_of_detail(self.pixels(entry, "delivered"), self.pixels(entry, "low"), self._mixture)

    def mean_shares(self) -> list[float]:
        """Return the mean trusted share over all pictures, at each stop."""
        return [float(share) for share in np.mean(self._shares or [np.zeros(len(self.stops), np.float32)], axis=0)]

    def _places(self, entry: FullSize) -> NDArray[np.int64] | None:
        # (stops,) int64: where the stops lie among the entry's thresholds.
        places = np.searchsorted(entry.thresholds, self.thresholds, side="right") - 1
        there = entry.thresholds[places] == self.thresholds
        return places if bool(there.all()) else None


def is_outside(entry: FullSize) -> bool:
    """Whether the guarantee does not cover the picture, or the content of its answer is unknown."""
    return any(one.status in NO_TRUST for one in entry.certified)


# Small pictures for the gallery, made when first asked for and kept while there is room.

SIDE = 240  # Most pixels of the longer side.
MOST_BYTES = 64 * 2**20
AT_ONCE = 2  # Pictures made small at the same time: each takes the memory of a whole picture.


class Thumbnails:
    """Small pictures, and for each pixel the slider's first stop that trusts its whole block."""

    def __init__(self, pictures: RunPictures) -> None:
        self._pictures = pictures
        self._lock, self._room = threading.Lock(), threading.Semaphore(AT_ONCE)
        self._kept: OrderedDict[tuple[str, ...], bytes] = OrderedDict()
        self.bytes = 0

    def picture(self, entry: FullSize) -> bytes:
        def make() -> bytes:
            block = block_side(entry.size, SIDE)
            return webp(PillowImage.fromarray(self._pictures.pixels(entry, "delivered")).reduce(block))

        return self._get(("picture", entry.stem, entry.digests.get("delivered", "")), make)

    def stops(self, entry: FullSize) -> bytes:
        """Return (h, w) uint8, row by row; 255 where no stop trusts the whole block."""

        def make() -> bytes:
            block = block_side(entry.size, SIDE)
            levels = unpacked(self._pictures.part(entry, "levels"), entry.size)
            rows, columns = (np.arange(0, side, block) for side in entry.size)
            largest = np.maximum.reduceat(np.maximum.reduceat(levels, rows, axis=0), columns, axis=1)
            return self._pictures.first_stops(entry)[largest].tobytes()

        thresholds = digest_bytes(entry.thresholds.tobytes())
        return self._get(("stops", entry.stem, entry.digests.get("levels", ""), thresholds), make)

    def _get(self, key: tuple[str, ...], make: Callable[[], bytes]) -> bytes:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._room:
            content = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = content
                self.bytes += len(content)
            while self.bytes > MOST_BYTES:
                self.bytes -= len(self._kept.popitem(last=False)[1])
        return content


_REPORTS, _OWN = "blackbox_conformal.pages.report", "blackbox_conformal.pages.viewer"
_PAGE = [(_OWN, "view.html.jinja"), (_REPORTS, "viewer.html.jinja"), (_REPORTS, "gallery.html.jinja")]
_STYLE = [(_REPORTS, "report.css"), (_REPORTS, "viewer.css"), (_OWN, "view.css")]
_SCRIPT = [
    (_REPORTS, "level.js"),
    (_REPORTS, "marks.js"),
    (_REPORTS, "viewer.js"),
    (_REPORTS, "gallery.js"),
    (_OWN, "picture_worker.js"),
    (_OWN, "view.js"),
]
_WORKER = [(_REPORTS, "marks.js"), (_OWN, "worker.js")]

_MAKING = threading.Semaphore(2)
"""Full-size files made at the same time: each takes several times the memory of a picture."""


class ViewPage:
    """The viewer's answers to a browser, at first at level `opening`; writes nothing."""

    def __init__(self, pictures: RunPictures, calibration: Calibration, title: str, opening: float) -> None:
        self.pictures, self._calibration, self._title = pictures, calibration, title
        self._thumbnails = Thumbnails(pictures)
        distances = [abs(stop.alpha - opening) for stop in pictures.stops]
        self._chosen = distances.index(min(distances))

    @property
    def count(self) -> int:
        return len(self.pictures.pictures)

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """Return the name of each picture that cannot be shown, and why."""
        return self.pictures.left_out

    @property
    def opening(self) -> float:
        return self.pictures.stops[self._chosen].alpha

    def routes(self) -> list[PageRoute]:
        return [
            PageRoute("GET", "/", self._page),
            asset_route("view.css", _STYLE),
            asset_route("view.js", _SCRIPT),
            asset_route("worker.js", _WORKER, "let stops = null;\n"),
            PageRoute("GET", "/pictures", self._index),
            PageRoute("GET", "/stops/{stop}", self._at_stop),
            PageRoute("GET", "/pictures/{picture}", self._picture),
            PageRoute("GET", "/pictures/{picture}/thumbnail", self._thumbnail),
            PageRoute("GET", "/pictures/{picture}/thumbnail-stops", self._thumbnail_stops),
            PageRoute("GET", "/pictures/{picture}/shown/{name}", self._shown),
            PageRoute("GET", "/pictures/{picture}/added", self._added),
            PageRoute("GET", "/pictures/{picture}/mask/{stop}", self._mask),
            PageRoute("GET", "/pictures/{picture}/safe/{stop}", self._safe),
            PageRoute("GET", "/pictures/{picture}/{part}", self._part),
        ]

    def _page(self, http: HttpRequest) -> HttpAnswer:
        self.pictures.refresh()
        slider = slider_of(self.pictures.stops, self.pictures.mean_shares(), self._calibration)
        shares, _ = self.pictures.at_stop(self._chosen)
        return template_page(
            _PAGE,
            title=printable(self._title),
            vendor=vendor_title(self._calibration.procedure.vendor),
            scale=self._calibration.procedure.scale,
            digest=self._calibration.digest[7:19],
            slider=slider,
            chosen=self._chosen,
            share=share(slider["shares"][self._chosen]),
            loss_name=self._calibration.rule().loss_name,
            histogram=Histogram([float(share) for share in shares]),
            count=len(shares),
            left_out=self.pictures.left_out[:20],
            left_out_count=len(self.pictures.left_out),
        )

    def _index(self, http: HttpRequest) -> HttpAnswer:
        listed = list(self.pictures.pictures.values())
        rows = [[one.stem, name, one.kind, *one.size] for one, name in zip(listed, names_apart(listed), strict=True)]
        return _unnamed(json.dumps({"side": SIDE, "pictures": rows}).encode(), "application/json")

    def _at_stop(self, http: HttpRequest) -> HttpAnswer:
        # Trusted shares of all pictures at a stop, then their losses: float32, little-endian.
        columns = self.pictures.at_stop(self._stop(http.parameters))
        return _unnamed(np.concatenate(columns).astype("<f4").tobytes())

    def _picture(self, http: HttpRequest) -> HttpAnswer:
        entry = self._entry(http)
        shares, losses = self.pictures.of_picture(entry.stem)
        return json_answer(
            {
                "firstStops": self.pictures.first_stops(entry).tolist(),
                "shares": [float(share) for share in shares],
                "losses": None if np.isnan(losses).any() else [float(loss) for loss in losses],
                "parts": sorted(entry.digests),
                "outside": is_outside(entry),
                "shown": self.pictures.names_shown(entry),
                "inside": self.pictures.inside,
                "certificates": self._certificates(entry),
                "differing": entry.differing,
                "notes": [sentence(note) for note in entry.notes],
            },
            headers={"Cache-Control": "no-store"},
        )

    def _certificates(self, entry: FullSize) -> list[dict[str, Any]]:
        # Each mask with the statement of its certificate, and the stop that shows this mask, if one does.
        alphas = [stop.alpha for stop in self.pictures.stops]
        told = []
        for one in sorted(entry.certified, key=lambda one: one.alpha):
            alpha, text = float(f"{one.alpha:.12g}"), sentence(one.statement)
            own = one.threshold_hex == self._calibration.threshold(one.alpha).hex()
            if not own:
                text += (
                    f" Its mask, by the guarantee {printable(one.guarantee)}, is another one than this slider shows:"
                    " the slider stands for the calibration's own guarantee."
                )
            stop = alphas.index(alpha) if own and alpha in alphas else None
            told.append({"alpha": f"{one.alpha:g}", "text": text, "stop": stop})
        return told

    def _part(self, http: HttpRequest) -> HttpAnswer:
        entry, part = self._entry(http), http.parameters["part"]
        if part not in PARTS or part not in entry.digests:
            raise NotServedError(404, "there is no such file of this picture")
        content = self.pictures.part(entry, part)
        return _deflated(http, content) if part in ("levels", "errors") else unchanging(http, content, "image/png")

    def _added(self, http: HttpRequest) -> HttpAnswer:
        # A byte a pixel, packed as levels are.
        entry = self._entry(http)
        self._need_input(entry)
        with _MAKING:
            return _deflated(http, packed(self.pictures.detail(entry)))

    def _thumbnail(self, http: HttpRequest) -> HttpAnswer:
        return unchanging(http, self._thumbnails.picture(self._entry(http)), "image/webp")

    def _thumbnail_stops(self, http: HttpRequest) -> HttpAnswer:
        return unchanging(http, self._thumbnails.stops(self._entry(http)), "application/octet-stream")

    def _shown(self, http: HttpRequest) -> HttpAnswer:
        entry, name = self._entry(http), http.parameters["name"]
        self._need_input(entry)
        if name not in SHOWN:
            raise NotServedError(404, "there is no such picture")
        with _MAKING:
            return unchanging(http, image_png(self.pictures.to_show(entry, name)), "image/png")

    def _mask(self, http: HttpRequest) -> HttpAnswer:
        entry, stop = self._entry(http), self._stop(http.parameters)
        with _MAKING:
            return self._file(entry, stop, "mask", mask_png(self.pictures.mask(entry, stop)))

    def _safe(self, http: HttpRequest) -> HttpAnswer:
        entry, stop = self._entry(http), self._stop(http.parameters)
        self._need_input(entry)
        with _MAKING:
            xmp = xmp_of(self._name(entry, stop, "mask"))
            return self._file(entry, stop, "safe", image_png(self.pictures.safe(entry, stop), xmp))

    def _need_input(self, entry: FullSize) -> None:
        if "low" not in entry.digests:
            raise NotServedError(404, "this picture was kept without its input")

    def _file(self, entry: FullSize, stop: int, kind: str, content: bytes) -> HttpAnswer:
        named = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(self._name(entry, stop, kind))}"}
        return HttpAnswer(200, content, "image/png", named)

    def _name(self, entry: FullSize, stop: int, kind: str) -> str:
        return f"{file_stem(entry.name)}-alpha-{self.pictures.stops[stop].alpha:g}-{kind}.png"

    def _entry(self, http: HttpRequest) -> FullSize:
        entry = self.pictures.entry(http.parameters["picture"])
        if entry is None:
            raise NotServedError(404, "there is no such picture in this run folder")
        return entry

    def _stop(self, parameters: Mapping[str, str]) -> int:
        text = parameters["stop"]
        if not (text.isascii() and text.isdigit() and len(text) < 4 and int(text) < len(self.pictures.stops)):
            raise NotServedError(404, "there is no such level")
        return int(text)


def open_run(run: Path, calibration: Calibration, alpha: float | None = None) -> ViewPage:
    """Return the page over a run folder; without `alpha` it opens at a level chosen from the audit."""
    store = ReportStore(run, calibration)
    opening = level_to_open_at(calibration, store.audit(), alpha)
    return ViewPage(RunPictures(store.folder, calibration, [opening]), calibration, run.resolve().name, opening)


def _deflated(http: HttpRequest, content: bytes) -> HttpAnswer:
    answer = unchanging(http, content, "application/octet-stream")
    return replace(answer, headers={**answer.headers, "Content-Encoding": "deflate"})


def _unnamed(content: bytes, kind: str = "application/octet-stream") -> HttpAnswer:
    return HttpAnswer(200, content, kind, {"Cache-Control": "no-store"})


_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}

Parts = Sequence[tuple[str, str]]  # (package, file below its folder ``templates``).


def template_page(parts: Parts, **variables: Any) -> HttpAnswer:
    """Return the page of the first template in `parts`, which may import the others."""
    templates = environment({file: template_text(file, package) for package, file in parts})
    templates.globals["version"] = version("blackbox-conformal")
    text = templates.get_template(parts[0][1]).render(**variables)
    return HttpAnswer(200, text.encode(), "text/html; charset=utf-8", {"Cache-Control": "no-store"})


def asset_route(name: str, parts: Parts, before: str = "") -> PageRoute:
    """Return the route of a script or style at ``/assets/<name>``: `before`, then these files one after the other.

    Scripts share their names with each other, and none with the window.
    """
    texts = before + "".join(template_text(file, package) for package, file in parts)
    ending = name.rpartition(".")[2]
    content = (f'"use strict";\n{{\n{texts}}}\n' if ending == "js" else texts).encode()
    return PageRoute("GET", f"/assets/{name}", lambda http: unchanging(http, content, _TYPES[ending]))


def unchanging(http: HttpRequest, content: bytes, kind: str) -> HttpAnswer:
    """Return an answer that a browser may keep and ask about again."""
    tag = f'"{digest_bytes(content)[7:39]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if http.headers.get("if-none-match") == tag:
        return HttpAnswer(304, b"", kind, headers)
    return HttpAnswer(200, content, kind, headers)


# The viewer's page below ``/view/`` of a gateway, which keeps masked pictures for it.

PREFIX = "/view"


class ViewBesideGateway:
    """The `on_masked` and `around` of a `Service` with a viewer.

    `path` holds a key, since a browser sends no bearer token: everybody who knows the key sees every client's pictures.
    `names` are hosts, beside loopback, by which the gateway may be addressed.
    """

    def __init__(self, run: Path, calibration: Calibration, alpha: float, names: tuple[str, ...]) -> None:
        self._store = ReportStore(run, calibration, (alpha,))
        self._pages = guarded(open_run(run, calibration, alpha).routes(), names)
        self.path = f"{PREFIX}/{self._pages.token}/"

    def on_masked(self, result: Result) -> None:
        """Keep a picture for the page."""
        self._store.masked(result, result.low_resolution)

    def around(self, inner: Application) -> Application:
        """Return the gateway with the page."""

        async def application(scope: Message, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"].startswith(f"{PREFIX}/"):
                await self._pages({**scope, "path": scope["path"].removeprefix(PREFIX)}, receive, send)
            else:
                await inner(scope, receive, send)

        return application
