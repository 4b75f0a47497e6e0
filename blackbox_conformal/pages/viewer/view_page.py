"""The viewer's page over a run folder: its addresses, and what each answers."""

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.gateway.http_exchange import HttpAnswer, HttpRequest, json_answer
from blackbox_conformal.gateway.not_served import NotServedError
from blackbox_conformal.method.images.encode import image_png, mask_png
from blackbox_conformal.method.images.making_inputs import resized
from blackbox_conformal.pages.report.cards import sentence
from blackbox_conformal.pages.report.full_size import PARTS, FullSize
from blackbox_conformal.pages.report.names_apart import names_apart
from blackbox_conformal.pages.report.page import slider_of, vendor_words
from blackbox_conformal.pages.report.report_store import ReportStore
from blackbox_conformal.pages.report.run_report import level_to_open_at
from blackbox_conformal.pages.report.shares_histogram import Histogram
from blackbox_conformal.pages.viewer.local_site import PageRoute
from blackbox_conformal.pages.viewer.page_files import asset_route, download, template_page, unchanging
from blackbox_conformal.pages.viewer.run_pictures import RunPictures, is_outside
from blackbox_conformal.pages.viewer.thumbnails import SIDE, Thumbnails
from blackbox_conformal.support.text import file_stem, printable
from blackbox_conformal.support.wording import share

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
"""Files that are made at full size at the same time: each takes several times the memory of a picture."""


class ViewPage:
    """What a browser asks of the viewer; reads the run folder and writes nothing.

    Parameters
    ----------
    title
        What the page is about.
    opening
        The level that it opens at.
    """

    def __init__(self, pictures: RunPictures, calibration: Calibration, title: str, opening: float) -> None:
        self.pictures, self._calibration, self._title = pictures, calibration, title
        self._thumbnails = Thumbnails(pictures)
        distances = [abs(stop.alpha - opening) for stop in pictures.stops]
        self._chosen = distances.index(min(distances))

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return len(self.pictures.pictures)

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """Name of each picture that cannot be shown, and why."""
        return self.pictures.left_out

    @property
    def opening(self) -> float:
        """The level that it opens at."""
        return self.pictures.stops[self._chosen].alpha

    def routes(self) -> list[PageRoute]:
        """Every address."""
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
            PageRoute("GET", "/pictures/{picture}/enlarged", self._enlarged),
            PageRoute("GET", "/pictures/{picture}/mask/{stop}", self._mask),
            PageRoute("GET", "/pictures/{picture}/safe/{stop}", self._safe),
            PageRoute("GET", "/pictures/{picture}/{part}", self._part),
        ]

    def _page(self, http: HttpRequest) -> HttpAnswer:
        self.pictures.refresh()
        slider = slider_of(self.pictures.stops, self.pictures.mean_shares(), self._calibration.bound)
        shares, _ = self.pictures.at_stop(self._chosen)
        return template_page(
            _PAGE,
            title=printable(self._title),
            vendor=vendor_words(self._calibration.procedure.vendor),
            scale=self._calibration.procedure.scale,
            digest=self._calibration.digest[7:19],
            slider=slider,
            chosen=self._chosen,
            share=share(slider["shares"][self._chosen]),
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
        """Trusted shares of all pictures at a stop, then their losses: float32, little-endian."""
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
                "certificates": self._certificates(entry),
                "notes": [sentence(note) for note in entry.notes],
            },
            headers={"Cache-Control": "no-store"},
        )

    def _certificates(self, entry: FullSize) -> list[dict[str, Any]]:
        """What the certificate of each mask says that was delivered, and the stop that shows this mask, if one does."""
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
        if part in ("levels", "errors"):
            answer = unchanging(http, content, "application/octet-stream")
            # The browser inflates it.
            return replace(answer, headers={**answer.headers, "Content-Encoding": "deflate"})
        return unchanging(http, content, "image/png")

    def _thumbnail(self, http: HttpRequest) -> HttpAnswer:
        return unchanging(http, self._thumbnails.picture(self._entry(http)), "image/webp")

    def _thumbnail_stops(self, http: HttpRequest) -> HttpAnswer:
        return unchanging(http, self._thumbnails.stops(self._entry(http)), "application/octet-stream")

    def _enlarged(self, http: HttpRequest) -> HttpAnswer:
        """The input at the size of the picture, as the safe picture has it."""
        entry = self._entry(http)
        height, width = entry.size
        with _MAKING:
            return unchanging(http, image_png(resized(self._low(entry), width, height)), "image/png")

    def _mask(self, http: HttpRequest) -> HttpAnswer:
        entry, stop = self._entry(http), self._stop(http.parameters)
        with _MAKING:
            return self._file(entry, stop, "mask", mask_png(self.pictures.mask(entry, stop)))

    def _safe(self, http: HttpRequest) -> HttpAnswer:
        entry, stop = self._entry(http), self._stop(http.parameters)
        self._low(entry)
        with _MAKING:
            return self._file(entry, stop, "safe", image_png(self.pictures.safe(entry, stop)))

    def _low(self, entry: FullSize) -> Any:
        if "low" not in entry.digests:
            raise NotServedError(404, "this picture was kept without its input")
        return self.pictures.pixels(entry, "low")

    def _file(self, entry: FullSize, stop: int, kind: str, content: bytes) -> HttpAnswer:
        name = f"{file_stem(entry.name)}-alpha-{self.pictures.stops[stop].alpha:g}-{kind}.png"
        return download(content, name, "image/png")

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
    """The page over a run folder.

    Parameters
    ----------
    alpha
        The level that it opens at; None: chosen from the audit.

    Raises
    ------
    UsageError
        No mask can be made at `alpha`.
    """
    store = ReportStore(run, calibration)
    opening = level_to_open_at(calibration, store.audit(), alpha)
    return ViewPage(RunPictures(store.folder, calibration, [opening]), calibration, run.resolve().name, opening)


def _unnamed(content: bytes, kind: str = "application/octet-stream") -> HttpAnswer:
    return HttpAnswer(200, content, kind, {"Cache-Control": "no-store"})
