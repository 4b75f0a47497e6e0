"""The keywords that every command takes from Python, named as the options are, and errors for misspelled ones."""

# Annotations stay as they are written, so that signatures show them so.
from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, cast

from blackbox_conformal.adapter import Adapter
from blackbox_conformal.display.progress import ProgressDisplay, shown_progress
from blackbox_conformal.errors import UsageError
from blackbox_conformal.guarantees.guarantee import Guarantee
from blackbox_conformal.metrics.metric import Metric
from blackbox_conformal.pipeline.job import Ask
from blackbox_conformal.pipeline.listeners import Progress
from blackbox_conformal.pipeline.stages.cluster import Cluster
from blackbox_conformal.pipeline.stages.defaults import preset_settings
from blackbox_conformal.procedure import Fit, SeedPolicy
from blackbox_conformal.sampling.events import Event
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.sampler import Sampler
from blackbox_conformal.scores.score import Score

if TYPE_CHECKING:
    from distributed import Client

Command = TypeVar("Command", bound=Callable[..., Any])

Listener = Callable[[Event], None]
"""Gets every event of drawing."""


class ProcedureSettings(TypedDict, total=False):
    """How pictures are drawn, scored and compared with the truth.

    Attributes
    ----------
    scale
        Magnification; by default the vendor's, ×4 if it has several. 1 is restoration at the same size.
    preset
        Defaults of that name instead of the usual ones: ``paper`` is the published recipe. Other keywords override it.
    draws
        Draws of each picture; 1 by default.
    score, metric
        How unsure each pixel is, and the error at each pixel: ``name:key=value`` or an instance.
    delivery
        Which picture is delivered: ``first`` draw, ``mean`` of all, or ``medoid``, the draw nearest to the
        mean; ``consistent:steps=2`` is the first made consistent with its input.
    perturb
        Makes different draws of a vendor that never varies: ``dihedral`` and others.
    second_adapter
        A second vendor, for the score ``second-opinion``.
    seeds, first_seed
        ``per-image``: a seed of its own for each picture; ``shared``: the same seeds for all, `first_seed` onward.
    seed
        Root of the per-image seeds, and of the random numbers of the degradation.
    degradation
        How inputs are made from photographs: steps such as ``area:4+noise:3+jpeg:60-95``; the vendor's usual by
        default, bicubic for super-resolution.
    fit
        What is done to photographs that break the vendor's limits on sizes: ``crop`` takes their middle, ``shrink``
        makes them smaller; by default they are refused.
    """

    preset: str | None
    scale: int | None
    draws: int
    score: str | Score
    metric: str | Metric
    delivery: str
    perturb: str | None
    second_adapter: Adapter | None
    seeds: SeedPolicy
    first_seed: int | None
    seed: int
    degradation: str | None
    fit: Fit | None


class DrawingSettings(TypedDict, total=False):
    """Where draws are kept, what may be spent on them, and who is told.

    Attributes
    ----------
    run
        Folder of ledger and samples; by default ``runs/<adapter>-<fingerprint>``.
    ledger
        Address of a PostgreSQL database that keeps the ledger and the answers for many machines, such as
        ``postgresql://user@host/name``; by default the ledger is a file in `run`.
    store
        Where answers and finished files are kept besides `run`: an address such as ``s3://bucket/runs``, or a folder.
    max_cost, max_calls
        The most that this job may cost in all, in US dollars, and the most paid calls that it may make in all. One of
        the two is required unless draws are free. Nothing is sent where it is known to be too small.
    concurrency
        Calls at a time: a number or ``auto``.
    rate
        The most requests in a time, such as ``50/hour``, or several such; None: as many as the vendor documents.
    timeout
        Seconds for one answer.
    job_timeout
        Seconds for a job that the vendor accepted; then it is cancelled, where that can be.
    max_resample
        How often a draw may be paid again whose answer was not the picture that was asked for.
    retry_ambiguous
        Pay again for draws that were sent but never answered.
    accept_refusals
        Go on although the vendor has refused three pictures in the same words.
    insecure_http
        Send a key unencrypted (http) to another machine, too.
    limits
        `Limits` with whatever the other keywords do not say.
    memory
        The most memory that the calculation may take, in bytes; None: no limit.
    listener
        Gets every event of drawing, from any thread, one at a time.
    """

    run: str | Path | None
    ledger: str | None
    store: str | Path | None
    max_cost: float | str | Decimal | None
    max_calls: int | None
    concurrency: int | Literal["auto"]
    rate: str | Sequence[str] | None
    timeout: float
    job_timeout: float
    max_resample: int
    retry_ambiguous: bool
    accept_refusals: bool
    insecure_http: bool
    limits: Limits | None
    memory: int | None
    listener: Listener | None


class JobSettings(DrawingSettings, total=False):
    """The same for one job, which somebody may look on at.

    Attributes
    ----------
    progress
        Whether bars are shown: True, False, or by default in a notebook and where stderr is a terminal. A function is
        called instead with what is done, how many are done, and how many there are.
    on_sampler
        Gets each sampler as soon as it is open, so that it can be stopped.
    ask
        Called with the job and what it would cost before anything is sent; raises to refuse.
    """

    progress: bool | Progress | None
    on_sampler: Callable[[Sampler], None] | None
    ask: Ask | None


class Settings(ProcedureSettings, JobSettings, total=False):
    """Both."""


class ClusterSettings(TypedDict, total=False):
    """Who evaluates the pictures.

    Attributes
    ----------
    cluster
        Other processes, by Dask, which evaluate pictures in the place of this one: ``local:N`` for N on this machine,
        the address of a scheduler such as ``tcp://host:8786``, or a `distributed.Client`. Only this process asks the
        vendor and pays. `memory` is then what each worker may take. None: threads of this process.
    """

    cluster: str | Client | None


class CalibrateSettings(Settings, ClusterSettings, total=False):
    """The keywords of `calibrate` and `tune`."""


class AuditSettings(JobSettings, ClusterSettings, total=False):
    """The keywords of `audit`."""


class MaskSettings(TypedDict, total=False):
    """What a mask promises, and of which pictures.

    Attributes
    ----------
    guarantee
        Another guarantee than the calibration's own: ``name:key=value`` or an instance.
    group
        The group of photographs that the pictures belong to.
    second_adapter
        The second vendor, where the calibrated score compares with one.
    degradation
        How inputs are made, such as ``area:4+jpeg:75``; refused unless the calibration's are, too.
    empty_masks
        Pay for a picture also where its mask is known to be empty at this level.
    outside
        The conformal p-value of an input, 0 to 1, at which and below its certificate says that the guarantee does not
        speak of it; 0: never.
    trust
        Public keys, or files of such keys, whose signatures count, as `--trust`: the calibration must be signed by one
        of them, and its watch too.
    """

    guarantee: str | Guarantee | None
    group: str | None
    second_adapter: Adapter | None
    degradation: str | None
    empty_masks: bool
    outside: float
    trust: Sequence[str]


class ApplySettings(MaskSettings, JobSettings, total=False):
    """The keywords of `mask`."""


class ApplyAllSettings(ApplySettings, ClusterSettings, total=False):
    """The keywords of `mask_all`."""


class SessionSettings(MaskSettings, DrawingSettings, total=False):
    """The keywords of `Session`.

    Attributes
    ----------
    max_cost_per_day
        The most that draws of the run folder may cost that were submitted in any 24 hours, in US dollars, whichever
        process submitted them.
    service
        The session is that of a service that is started again and again: `max_cost` and `max_calls` limit whatever the
        run folder's ledger holds, and it opens also while the calibration's watch suspends it.
    """

    max_cost_per_day: float | str | Decimal | None
    service: bool


def named_keywords(command: Command) -> Command:
    """`command`, which refuses a keyword that it does not take and names what is near it, or else all that it takes.

    The keywords of its ``**settings: Unpack[…]`` become part of its signature and of its documentation, so that editors
    and `help` show them. A keyword that is None counts as not given. A preset is replaced by the settings that it
    stands for. The command gets `progress` as a function to call, and `cluster` open.
    """
    signature = inspect.signature(command)
    parameters = dict(signature.parameters)
    del parameters["settings"]
    unpacked = inspect.signature(command, eval_str=True).parameters["settings"].annotation.__args__[0]
    for key, kind in unpacked.__annotations__.items():
        written = str(getattr(kind, "__forward_arg__", kind))
        kind = written if "None" in written else f"{written} | None"
        parameters[key] = inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)

    @functools.wraps(command)
    def checked(*given: Any, **keywords: Any) -> Any:
        name = command.__qualname__.removesuffix(".__init__")
        refuse_unknown(name, keywords, parameters)
        _refuse_missing(name, {**dict(zip(parameters, given, strict=False)), **keywords}, parameters)
        known = {key: value for key, value in keywords.items() if value is not None}
        settings = without_preset(known, parameters)
        if "progress" not in parameters:
            return command(*given, **settings)
        with ExitStack() as stack:
            if "cluster" in settings:
                settings["cluster"] = stack.enter_context(Cluster(settings["cluster"], settings.get("memory")))
            step = stack.enter_context(shown_progress(settings.pop("progress", None)))
            if isinstance(step, ProgressDisplay):
                settings["listener"] = _both(step.event, settings.get("listener"))
            return command(*given, progress=step, **settings)

    checked.__signature__ = signature.replace(parameters=list(parameters.values()))  # type: ignore[attr-defined]
    checked.__doc__ = _with_keywords(inspect.getdoc(command) or "", unpacked)
    return cast(Command, checked)


def _refuse_missing(name: str, given: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]) -> None:
    """Refuse a call of the command `name` without one of the parameters that it needs."""
    needed = [key for key, parameter in parameters.items() if parameter.default is parameter.empty and key != "self"]
    for key in needed:
        if given.get(key) is None:
            example = "alpha=0.1, the risk that is accepted" if key == "alpha" else f"{key}=…"
            raise UsageError(f"{name}: expected {', '.join(needed)}; got no {key}. Give {example}")


def _both(first: Listener, second: Listener | None) -> Listener:
    """A listener that tells both."""

    def listener(event: Event) -> None:
        first(event)
        if second is not None:
            second(event)

    return listener


_ENTRY = re.compile(r"^\w[\w, ]*\n(?:    .*\n|\n(?=    ))+", re.MULTILINE)


def _with_keywords(documentation: str, settings: Any) -> str:
    """A command's documentation with that of the keywords of `settings`, before what it raises."""
    before, raises, after = documentation.partition("\nRaises\n------")
    before = re.sub(r"\nsettings\n(?:    .*\n|\n(?=    ))+", "\n", before + "\n").rstrip()
    return f"{before}\n\nOther Parameters\n----------------\n{_documented(settings)}{raises}{after}"


def _documented(settings: Any) -> str:
    """What is documented of each keyword, by the classes that `settings` is made of."""
    parts: list[Any] = [ProcedureSettings, MaskSettings, DrawingSettings, JobSettings, SessionSettings, ClusterSettings]
    taken = settings.__annotations__.keys()
    texts = [inspect.cleandoc(part.__doc__ or "") + "\n" for part in parts if part.__annotations__.keys() <= taken]
    return "".join("".join(_ENTRY.findall(text.partition("Attributes\n----------\n")[2])) for text in texts)


def without_preset(settings: Mapping[str, Any], taken: Collection[str]) -> dict[str, Any]:
    """`settings`, with those that their preset stands for, of which only some are `taken`, in its place.

    Raises
    ------
    UsageError
        There is no such preset.
    """
    given = dict(settings)
    preset = given.pop("preset", None)
    of_preset = {} if preset is None else preset_settings(preset)
    return {**{key: value for key, value in of_preset.items() if key in taken}, **given}


def refuse_unknown(name: str, keywords: Iterable[str], taken: Collection[str]) -> None:
    """Refuse a keyword that the command `name` does not take.

    Raises
    ------
    UsageError
        There is one; the message names what is near it, or else all there are.
    """
    for key in keywords:
        if key not in taken:
            near = difflib.get_close_matches(key, taken, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it takes {', '.join(sorted(taken))}"
            raise UsageError(f"{name} takes no parameter {key!r}; {hint}")
