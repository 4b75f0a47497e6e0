"""The viewer's page below ``/view/`` of a gateway, which keeps what it masks for it."""

from pathlib import Path

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.gateway.guard import Application, Message, Receive, Send
from blackbox_conformal.pages.report.report_store import ReportStore
from blackbox_conformal.pages.viewer.local_site import guarded
from blackbox_conformal.pages.viewer.view_page import open_run
from blackbox_conformal.study.mask.products import Result

PREFIX = "/view"


class ViewBesideGateway:
    """What `Service` takes as `on_masked` and `around`.

    The page has a key of its own in its path, since a browser sends no bearer token. Everybody who knows it sees
    the pictures of every client.

    Parameters
    ----------
    names
        Hosts, beside loopback, by which the gateway may be addressed.

    Attributes
    ----------
    path
        Of the page, with its key.
    """

    def __init__(self, run: Path, calibration: Calibration, alpha: float, names: tuple[str, ...]) -> None:
        self._store = ReportStore(run, calibration, (alpha,))
        self._pages = guarded(open_run(run, calibration, alpha).routes(), names)
        self.path = f"{PREFIX}/{self._pages.token}/"

    def on_masked(self, result: Result) -> None:
        """Keep a picture for the page."""
        self._store.masked(result, result.low_resolution)

    def around(self, inner: Application) -> Application:
        """The gateway with the page."""

        async def application(scope: Message, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"].startswith(f"{PREFIX}/"):
                await self._pages({**scope, "path": scope["path"].removeprefix(PREFIX)}, receive, send)
            else:
                await inner(scope, receive, send)

        return application
