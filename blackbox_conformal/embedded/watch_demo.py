"""`watch --demo`: a vendor on this machine changes its network without a word, and `watch` notices.

The answers, the calibration and the visits are real; only the change is made here.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.interrupts import listening
from blackbox_conformal.cli.next_steps import offer
from blackbox_conformal.errors import SuspendedError, UsageError

if TYPE_CHECKING:
    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.embedded.embedded_server import VendorServer
    from blackbox_conformal.watching.visit.visiting import VisitResult

FOLDER = "blackbox-conformal-watch-demo"
SIDE = 128  # Pixels of a side of the photographs, so that the demonstration takes seconds.
CANARIES = 4
QUIET_VISITS = 3
CHANGE = 0.01  # The share by which every weight of the network is changed.


def show(screen: Screen, folder: Path, *, opened: bool) -> None:
    """Calibrate, visit, change the vendor, visit again, and write the page; everything goes into `folder`."""
    from blackbox_conformal.support import catalog

    if folder.exists():
        raise UsageError(f"expected a new folder; {folder} is there already. Remove it, or name another with --run")
    with _vendor() as server:
        found, calibration = _played(screen, server, folder)
    file = folder / "run" / "calibration.json"
    screen.show(found.blocks(str(file)))
    screen.say(f"`mask` now answers: {_refused(file, calibration)}")
    page = catalog.hook("pages").write_watch_page(calibration, file, folder / "run", folder / "watch.html")
    offer(screen, page, opened=opened)
    screen.next("plan", "photographs/", "--adapter", "NAME")
    screen.data({"calibration": str(file), **found.document(), "page": str(page.resolve())})


def _played(screen: Screen, server: "VendorServer", folder: Path) -> "tuple[VisitResult, Calibration]":
    from blackbox_conformal.embedded.demonstration import reduced_photographs
    from blackbox_conformal.embedded.studio import OfferedTask
    from blackbox_conformal.method.images.photographs import demo_photographs
    from blackbox_conformal.study.calibrate.calibrating import calibrate_job
    from blackbox_conformal.study.job import Job, Terms
    from blackbox_conformal.study.plugins import load_adapter
    from blackbox_conformal.study.stages.settings import set_up
    from blackbox_conformal.watching.visit.visiting import VisitRequest, begin_watch, visit

    file = folder / "run" / "calibration.json"
    setup = set_up(load_adapter("embedded", url=server.url))
    with listening(screen) as listeners:
        terms = Terms(folder / "run", listeners=listeners)
        photographs = reduced_photographs(demo_photographs(), folder / "photographs", SIDE, listeners.progress)
        job = Job.of_photographs(setup, [photograph.path for photograph in photographs], terms)
        calibration = calibrate_job(job).calibration
        calibration.save(file)
        begin_watch(job, calibration, file, CANARIES)
        screen.say(f"calibrated on {calibration.n} photographs; the {CANARIES} most sensitive are canaries")
        request = VisitRequest(calibration, file)
        for _ in range(QUIET_VISITS):
            found = visit(request, setup, terms)
            screen.say(f"visit {found.number}: {found.headline}")
        task = server.studio.tasks["upscale"]
        changed = server.studio.generator.perturbed(CHANGE)
        server.studio.tasks["upscale"] = OfferedTask(task.model, task.scale, changed.upscale)
        screen.say(
            f"now every weight of the vendor's network is changed by about {CHANGE:.0%}; its name stays {task.model}"
        )
        return visit(request, setup, terms), calibration


@contextmanager
def _vendor() -> "Iterator[VendorServer]":
    # On a socket of this process, so that its network can be changed.
    from blackbox_conformal.embedded.embedded_server import VendorServer

    server = VendorServer()
    thread = threading.Thread(target=server.serve_forever, name="vendor", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _refused(file: Path, calibration: "Calibration") -> str:
    from blackbox_conformal.watching.watch_states import refuse_suspended

    try:
        refuse_suspended(file, calibration)
    except SuspendedError as error:
        return str(error)
    return "nothing: no alarm was raised"
