"""From options to a vendor, a set-up, limits, and a drawing engine that a person can interrupt.

What is asked before money is spent lives in `consent`, what is drawn and computed in `pipeline`.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from blackbox_conformal.cli.console import Screen
from blackbox_conformal.cli.run_folders import LEDGER
from blackbox_conformal.errors import UsageError

if TYPE_CHECKING:
    from blackbox_conformal.adapter import Adapter
    from blackbox_conformal.pipeline.stages.settings import Setup
    from blackbox_conformal.procedure import Procedure
    from blackbox_conformal.sampling.limits import Limits
    from blackbox_conformal.sampling.sampler import Sampler


def vendor_parameters(pairs: tuple[str, ...]) -> dict[str, str]:
    """`KEY=VALUE` options as a dictionary."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            raise UsageError(f"expected -p KEY=VALUE; got {pair!r}")
        if key in found:
            raise UsageError(f"-p {key} is given twice; give it once")
        found[key] = value
    return found


def open_vendor(adapter: str | None, parameters: tuple[str, ...], scale: int | None) -> "Adapter":
    """The adapter that was asked for."""
    from blackbox_conformal.plugins import adapter_class, load_adapter

    if not adapter:
        raise UsageError("expected --adapter NAME; `blackbox-conformal adapters list` shows them")
    given = vendor_parameters(parameters)
    if scale is not None and "scale" in adapter_class(adapter).model_fields and "scale" not in given:
        given["scale"] = str(scale)
    return load_adapter(adapter, **given)


def open_second_vendor(options: dict[str, Any], calibrated: dict[str, Any] | None = None) -> "Adapter | None":
    """The second vendor, when one was asked for or a calibration needs one."""
    typed = options["second_adapter"]
    name = typed or (calibrated or {}).get("adapter")
    if name is None:
        return None
    from blackbox_conformal.plugins import load_adapter

    if not typed:
        _installed(name, "--second-adapter")
    known = {key: value for key, value in (calibrated or {}).get("parameters", {}).items() if value is not None}
    return load_adapter(name, **{**known, **vendor_parameters(options["second_parameters"])})


def build_setup(options: dict[str, Any]) -> "Setup":
    """The set-up that the procedure options describe."""
    from blackbox_conformal.pipeline.stages.settings import DEFAULT_METRIC, DEFAULT_SCORE, set_up

    return set_up(
        open_vendor(options["adapter"], options["parameters"], options["scale"]),
        scale=options["scale"],
        draws=options["draws"],
        score=options["score"] or DEFAULT_SCORE,
        metric=options["metric"] or DEFAULT_METRIC,
        delivery=options["delivery"],
        perturbation=options["perturbation"],
        second=open_second_vendor(options),
        seeds=options["seeds"],
        seed=options["seed"] or 0,
    )


def build_limits(options: dict[str, Any]) -> "Limits":
    """The limits that the spending options describe."""
    from blackbox_conformal.sampling.limits import Limits

    return Limits(
        max_cost_usd=options["max_cost"],
        max_calls=options["max_calls"],
        concurrency=options["concurrency"],
        attempt_timeout_s=options["timeout"],
        max_resample=options["max_resample"],
        retry_ambiguous=options["retry_ambiguous"],
        insecure_http=options["insecure_http"],
    )


def folder_of(options: dict[str, Any], procedure: "Procedure") -> Path:
    """The run folder: the one that was named, that which the calibration lies in or is from, or the procedure's own."""
    from blackbox_conformal.pipeline.calibrating import run_folder
    from blackbox_conformal.pipeline.run_folder import run_of

    if options["run"]:
        return Path(options["run"])
    runs = Path("runs")
    given = Path(options["calibration"]) if options.get("calibration") else None
    if given is not None and _is_run_folder(given.parent, procedure):
        return given.parent
    written = None if given is None else run_of(given, runs)
    return written or run_folder(runs, procedure)


def say_folder(screen: Screen, options: dict[str, Any], run: Path) -> None:
    """Which run folder is used, where the user named none."""
    if not options["run"]:
        screen.note(f"run folder: {run}")


def _is_run_folder(folder: Path, procedure: "Procedure") -> bool:
    """Whether draws or the manifest of this procedure lie in `folder`."""
    from blackbox_conformal.pipeline.run_folder import is_of

    return (folder / LEDGER).is_file() or is_of(folder, procedure.fingerprint)


_IMPORT_WAIT_S = 0.05
_HANG_UP: signal.Signals | None = getattr(signal, "SIGHUP", None)


@contextmanager
def interruptible(screen: Screen) -> Iterator[Any]:
    """Signals while drawing: the first Ctrl-C or SIGTERM stops new calls, the second leaves at once.

    A terminal that is closed (SIGHUP) stops new calls too, and never more: what is under way is waited for. Under
    ``nohup`` it changes nothing. Yields a function that is given the engine as soon as there is one.
    """
    engine: list[Sampler] = []
    asked = 0
    terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if number == _HANG_UP:
            _leave_closed(terminals)
            if asked:
                return
        if asked or not engine:
            if _is_importing(frame):
                again = threading.Timer(_IMPORT_WAIT_S, signal.raise_signal, (number,))
                again.daemon = True
                again.start()
                return
            raise KeyboardInterrupt
        asked += 1
        engine[0].stop()
        screen.note("stopping: no new calls; waiting for those in flight (once more to leave at once)")

    if threading.current_thread() is not threading.main_thread():
        yield engine.append
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if _HANG_UP is not None and signal.getsignal(_HANG_UP) is not signal.SIG_IGN:
        numbers.append(_HANG_UP)
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield engine.append
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported there. An exception then may leave Python's lock on imports held for ever."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _leave_closed(terminals: list[int]) -> None:
    """Write no more to terminals that are closed: it would fail, and end what is still to be waited for."""
    for descriptor in terminals:
        if not os.isatty(descriptor):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


def open_calibrated_vendor(calibration: Any, options: dict[str, Any]) -> "Adapter":
    """The vendor of a calibration, with what identifies no procedure (addresses) taken from the options."""
    from blackbox_conformal.plugins import adapter_class, load_adapter

    identity = calibration.procedure.vendor
    name = options["adapter"] or _installed(identity["adapter"], "--adapter")
    if adapter_class(name).name != identity["adapter"]:
        raise UsageError(
            f"the calibration is of adapter {identity['adapter']}; got --adapter {name}. Calibrate {name} first"
        )
    if options["scale"] not in (None, calibration.procedure.scale):
        raise UsageError(
            f"the calibration is for ×{calibration.procedure.scale}; got --scale {options['scale']}. Calibrate that"
        )
    calibrated = {key: value for key, value in identity["parameters"].items() if value is not None}
    parameters = {**calibrated, **vendor_parameters(options["parameters"])}
    _refuse_missing(adapter_class(name), parameters, priced=options.get("max_cost") is not None)
    adapter = load_adapter(name, **parameters)
    _refuse_other_seed(options["seed"], calibration.procedure, adapter)
    return adapter


def _installed(name: str, option: str) -> str:
    """The name that a calibration gives its adapter, when an installed package announces one of that name.

    A calibration is data: it never says what to import. An adapter of the user's own has to be typed again.
    """
    from blackbox_conformal.plugins import installed_adapter_class

    try:
        installed_adapter_class(name, "adapter in the calibration")
    except UsageError as error:
        raise UsageError(
            f"{str(error).removesuffix('.')}. Add {option} package.module:Class if it is your own"
        ) from None
    return name


def _refuse_missing(vendor: "type[Adapter]", parameters: dict[str, Any], *, priced: bool) -> None:
    """Ask at once for all that a calibration does not keep: where the vendor is and, under a limit, what it costs."""
    fields = vendor.model_fields
    missing = [name for name, field in fields.items() if field.is_required() and name not in parameters]
    if missing and priced and "price_usd" in fields and "price_usd" not in parameters:
        missing.append("price_usd")
    if not missing:
        return
    typed = " ".join(f"-p {name.replace('_', '-')}=…" for name in missing)
    meant = "; ".join(f"{name}: {(fields[name].description or name).rstrip('.')}" for name in missing)
    price = ", nor what it costs" if "price_usd" in missing else ""
    raise UsageError(f"the calibration does not store where the vendor {vendor.name} is{price}. Add {typed} ({meant})")


def _refuse_other_seed(seed: int | None, procedure: "Procedure", adapter: "Adapter") -> None:
    """Refuse to draw a calibrated vendor from another root seed, by which a mask could be rolled until it pleases."""
    unused = procedure.seeds == "shared" or adapter.capabilities.seed_range is None
    if seed not in (None, procedure.root_seed) and not unused:
        raise UsageError(
            f"expected no --seed beside --calibration, which fixes it to {procedure.root_seed}; got --seed {seed}: a "
            "picture that is drawn again until its mask pleases has no guarantee. Leave --seed out, or calibrate with "
            f"--seed {seed}"
        )
