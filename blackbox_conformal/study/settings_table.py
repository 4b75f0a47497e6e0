"""Describe every setting once: as a key of a class below, and the text under it.

Each key makes the keyword of Python functions, the option of that name, the key of a settings file, the refusal of bad
values, and a row of docs/options.md. This file imports nothing heavy, so the command line can read it at once.
"""

import ast
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict, get_args

from blackbox_conformal.study.stages.defaults import DEFAULT_DRAWS, PRESETS
from blackbox_conformal.support.value_kinds import (
    ANYTHING,
    BYTES,
    COUNT,
    INTEGER,
    LEVEL,
    SECONDS,
    SHARE,
    SWITCH,
    USD,
    WORKERS,
    Kind,
    choice,
    number,
    several,
    whole,
)
from blackbox_conformal.vendor.rates import Rate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from distributed import Client
    from numpy.typing import NDArray

    from blackbox_conformal.documents.calibration import Calibration
    from blackbox_conformal.documents.procedure import Fit, SeedPolicy
    from blackbox_conformal.documents.signature import SigningKey
    from blackbox_conformal.drawing.events import Event
    from blackbox_conformal.drawing.limits import Limits
    from blackbox_conformal.drawing.sampler import Sampler
    from blackbox_conformal.method.facts.levels import Levels
    from blackbox_conformal.method.guarantees.guarantee import Guarantee
    from blackbox_conformal.method.images.calibration_images import KnownPhotograph
    from blackbox_conformal.method.images.encode import Answer, Pictures
    from blackbox_conformal.method.metrics.metric import Metric
    from blackbox_conformal.method.scores.score import Score
    from blackbox_conformal.study.audit.measure import OnPicture, WorstCrops
    from blackbox_conformal.study.job import Ask
    from blackbox_conformal.study.listeners import Progress
    from blackbox_conformal.study.pictures_in_memory import Photographs
    from blackbox_conformal.vendor.adapter import Adapter

    Listener = Callable[[Event], None]

NEEDED, PROMISE, INPUTS, DRAWING = "Often needed", "Promise", "How inputs are made", "How it draws"
MONEY, PLACES, OUTPUT = "Money and faults", "Where things lie", "Output"
SERVER, ACCESS, NOTICES = "The server", "Who may use it", "Notices"
GROUPS = (NEEDED, PROMISE, INPUTS, DRAWING, MONEY, PLACES, OUTPUT, SERVER, ACCESS, NOTICES)
"""Headings under which help and the reference show settings, in this order."""

REMOVED = {"store": "answers are kept in the run folder, or for many machines in PostgreSQL (ledger); leave it out"}
"""Former settings, each with what to do instead."""

MEMBER = "NAME[:k=v,…]"
RATE = Kind("a rate such as 50/hour", lambda value: value if isinstance(value, Rate) else Rate.of_text(value), "N/UNIT")
OFFLINE = "files are read by the adapter folder"
CALLED = "a program is called back; a person reads the screen"


@dataclass(slots=True)
class Setting:
    """All facts about a setting besides its name.

    Attributes
    ----------
    group
        The heading under which help shows it.
    kind
        What its value may be.
    main
        Whether most people need it, so that ``--help`` shows it and not only ``--help-all``.
    default
        Its value where none is given; None: see `usual`.
    many
        Whether it takes several values: as an option it is repeated.
    flag, metavar
        How the option and its value are written, where the name and the kind do not say so.
    limit
        The field of `Limits` that it sets.
    no_option
        Why it is no option; "" where it is.
    help, usual
        What it does, and what holds where none is given: from the text under the key, whose end may be "By default …".
        The text has names of settings in backquotes; a screen shows them as options, and leaves out what is "in
        Python".
    """

    group: str
    kind: Kind = ANYTHING
    main: bool = False
    default: Any = None
    many: bool = False
    flag: str = ""
    metavar: str = ""
    limit: str = ""
    no_option: str = ""
    help: str = ""
    usual: str = ""

    def of(self, value: Any, name: str) -> Any:
        """Return the value that `value` stands for; a `UsageError` names the setting where there is none."""
        if self.kind is ANYTHING:
            return value
        return several(self.kind, value, name) if self.many else self.kind.of(value, name)


def described(settings: Any) -> dict[str, Setting]:
    """Return the settings of one of the classes below by name, in the order of their groups."""
    found = {name: get_args(kind)[1] for name, kind in settings.__annotations__.items()}
    return dict(sorted(found.items(), key=lambda item: GROUPS.index(item[1].group)))


class ProcedureSettings(TypedDict, total=False):
    """How pictures are drawn, scored and compared with the truth."""

    preset: Annotated[str | None, Setting(DRAWING, choice(*sorted(PRESETS)))]
    """Other defaults, all at once: paper is the published recipe, ten draws of each picture."""
    scale: Annotated[int | None, Setting(INPUTS, whole(1, 16), main=True)]
    """Magnification; 1 restores at the same size. By default the vendor's, ×4 if it has several."""
    draws: Annotated[int, Setting(DRAWING, whole(1, 4096), main=True, default=DEFAULT_DRAWS)]
    """Draws of each picture. One makes a mask cost one call; eight cost eight times as much and trust little or no
    more.
    """
    score: Annotated["str | Score", Setting(DRAWING, main=True, metavar=MEMBER)]
    """How unsure each pixel is; see `list scores`. By default for one draw predicted-invention at ×4, texture at ×1,
    else unsupported; for more draws weighted; for guarantees about errors learned or bicubic-gap.
    """
    metric: Annotated["str | Metric", Setting(PROMISE, main=True, metavar=MEMBER)]
    """The error at each pixel; see `list metrics`. By default lab-l1, Gaussian sigma 4."""
    delivery: Annotated[str, Setting(DRAWING, default="first", metavar="RULE")]
    """Which picture is delivered: the first draw, the mean of all, medoid, the draw nearest to it,
    consistent[:steps=N], the first draw made consistent with its input by back-projection, which mends colours and all
    else that the input shows, or aligned, the only draw moved back by whole pixels where it lies moved.
    """
    perturbation: Annotated[str | None, Setting(DRAWING, metavar="NAME")]
    """Vary the input of a vendor whose answers never vary; see `list perturbations`."""
    second_adapter: Annotated["Adapter | None", Setting(DRAWING, metavar="NAME")]
    """A second vendor, for the score second-opinion."""
    seeds: Annotated["SeedPolicy", Setting(DRAWING, choice("per-image", "shared"), default="per-image")]
    """Whether each picture has seeds of its own, or all pictures have the same."""
    first_seed: Annotated[int | None, Setting(DRAWING, COUNT, no_option="a command takes the usual seeds")]
    """The first of the seeds that all pictures share. By default 0."""
    seed: Annotated[int, Setting(DRAWING, INTEGER)]
    """Root of per-image seeds and random degradations; a calibration keeps it. By default 0."""
    degradation: Annotated[str | None, Setting(INPUTS, main=True, metavar="STEP[:…][+STEP…]")]
    """How inputs are made from photographs, such as area:4+noise:3+jpeg:60-95; see `list degradations`. By default the
    vendor's, bicubic for super-resolution.
    """
    fit: Annotated["Fit | None", Setting(INPUTS, choice("crop", "shrink"))]
    """Photographs that break the vendor's limits on sizes: take their middle (crop), or make them smaller (shrink). By
    default they are refused.
    """


class DrawingSettings(TypedDict, total=False):
    """Where draws are kept, what may be spent on them, and who hears about progress."""

    run: Annotated["str | Path | None", Setting(PLACES, main=True)]
    """Run folder, for ledger and samples. By default runs/<procedure>."""
    ledger: Annotated[str | None, Setting(PLACES, metavar="ADDRESS")]
    """PostgreSQL database that keeps the ledger and the answers for many machines, such as postgresql://user@host/name.
    By default a file in the run folder.
    """
    max_cost: Annotated["float | str | Decimal | None", Setting(NEEDED, USD, main=True, limit="max_cost_usd")]
    """The most that this job may cost in all, US dollars."""
    max_calls: Annotated[int | None, Setting(MONEY, COUNT, limit="max_calls")]
    """The most paid calls that this job may make in all."""
    concurrency: Annotated["int | Literal['auto']", Setting(MONEY, WORKERS, default="auto", limit="concurrency")]
    """The most calls at a time."""
    rate: Annotated["str | Sequence[str] | None", Setting(MONEY, RATE, many=True, limit="rates")]
    """The most requests in a time, such as 50/hour or '100/minute poll'. By default the vendor's."""
    timeout: Annotated[float, Setting(MONEY, SECONDS, limit="attempt_timeout_s")]
    """The most seconds to wait for one answer. By default the vendor's, or 120."""
    job_timeout: Annotated[float, Setting(MONEY, SECONDS, limit="job_deadline_s")]
    """The most seconds to wait for a job that the vendor accepted; then it is cancelled where that can be. By default
    the vendor's, or 1800.
    """
    max_resample: Annotated[int, Setting(MONEY, whole(0, 100), default=0, limit="max_resample")]
    """How often a draw may be paid for again when its answer is not the picture that was asked for."""
    retry_ambiguous: Annotated[bool, Setting(MONEY, SWITCH, limit="retry_ambiguous")]
    """Pay again for draws that were sent but never answered."""
    accept_refusals: Annotated[bool, Setting(MONEY, SWITCH, limit="accept_refusals")]
    """Go on although three pictures were refused in the same words."""
    insecure_http: Annotated[bool, Setting(MONEY, SWITCH, limit="insecure_http")]
    """Allow a key to be sent unencrypted (http) to another machine."""
    limits: Annotated["Limits | None", Setting(MONEY, no_option="each limit has an option")]
    """`Limits` with what no other keyword says."""
    memory: Annotated[int | str | None, Setting(MONEY, BYTES)]
    """The most memory that the calculation may take, such as 2GB: fewer pictures at a time."""
    listener: Annotated["Listener | None", Setting(OUTPUT, no_option=CALLED)]
    """Gets every event of drawing, from any thread, one at a time."""


class ProgressSettings(TypedDict, total=False):
    """How it is shown that something goes on."""

    progress: Annotated["bool | Progress | None", Setting(OUTPUT, no_option=CALLED)]
    """Whether bars are shown: True, False, or a function, which is called with what is done, how many are done, and how
    many there are. By default in a notebook and where stderr is a terminal.
    """


class JobSettings(ProgressSettings, DrawingSettings, total=False):
    """The same for one job, which a person may look on at."""

    on_sampler: Annotated["Callable[[Sampler], None] | None", Setting(OUTPUT, no_option=CALLED)]
    """Gets each sampler as soon as it is open, so that it can be stopped."""
    ask: Annotated["Ask | None", Setting(MONEY, no_option="a command asks at the terminal")]
    """Called with the job and what it would cost before anything is sent; raises to refuse."""


class FirstAnswersSettings(TypedDict, total=False):
    """What is looked at before all is paid."""

    check: Annotated[bool, Setting(MONEY, SWITCH, default=True)]
    """Buy the first draws of three photographs first, and stop where two of these answers cannot be used as they are:
    in linear light, in grey or with swapped channels, or moved, scaled or turned as a whole.
    """


class Settings(ProcedureSettings, JobSettings, FirstAnswersSettings, total=False):
    """How, and on what terms, photographs are drawn."""


class ClusterSettings(TypedDict, total=False):
    """Who evaluates the pictures."""

    cluster: Annotated["str | Client | None", Setting(MONEY, metavar="local:N|ADDRESS")]
    """Evaluate pictures in N processes, or on the workers of a Dask scheduler such as tcp://host:8786, in Python also
    of a `distributed.Client`; `memory` is then what each worker may take. Only this process asks the vendor and pays.
    """


class ChoiceSettings(TypedDict, total=False):
    """What was chosen by photographs before."""

    nothing_chosen: Annotated[bool, Setting(PROMISE, SWITCH)]
    """Calibrate also on photographs that were looked at, since nothing was chosen by them. The calibration notes it."""


class TableSettings(TypedDict, total=False):
    """What belongs together, by the names of pictures, which are their files' stems."""

    groups: Annotated["Mapping[str, str] | None", Setting(PROMISE, main=True, metavar="FILE")]
    """CSV file with a line photograph,group for each photograph; in Python a mapping."""
    tiles: Annotated["Mapping[str, str] | None", Setting(PROMISE, metavar="FILE")]
    """CSV file with a line tile,photograph for each tile; in Python a mapping. The tiles of one photograph count once.
    """


class ScoreGroupSettings(TypedDict, total=False):
    """Whether the promise holds for pictures with low and with high scores."""

    score_groups: Annotated[int, Setting(PROMISE, whole(2, 4), metavar="K")]
    """Keep the promise for each of 2 to 4 groups of pictures by median score, each with its own threshold. A picture's
    group is known by itself.
    """


class GuaranteeSettings(TypedDict, total=False):
    """What is promised."""

    guarantee: Annotated["str | Guarantee | None", Setting(PROMISE, main=True, metavar=MEMBER)]
    """What is guaranteed; see `list guarantees`. By default marked:largest_error=0.3 for one draw of an enlargement
    with the usual score and metric, else expected.
    """


class LevelSettings(TypedDict, total=False):
    """How much risk the user accepts."""

    alpha: Annotated[float | None, Setting(NEEDED, LEVEL, main=True)]
    """The level: the risk that is accepted."""


class WantedSettings(TypedDict, total=False):
    """What is wanted besides a level, or instead of one."""

    want_share: Annotated[float | None, Setting(PROMISE, SHARE, main=True)]
    """The share of a picture that is to be trusted, such as 0.5; for `tune` in the place of `alpha`."""


class TrustSettings(TypedDict, total=False):
    """Who vouches for a calibration."""

    trust: Annotated["Sequence[str]", Setting(PROMISE, many=True, metavar="KEY|FILE")]
    """Public key, file of such keys, or policy (.toml) that says what each may sign and until when. What none of them
    signed is refused. Never taken from a project's settings file.
    """


class CalibratedSettings(TypedDict, total=False):
    """What is asked of a calibration, and what it does not keep or is compared with."""

    guarantee: Annotated["str | Guarantee | None", Setting(PROMISE, main=True, metavar=MEMBER)]
    """Another guarantee than the calibration's own; see `list guarantees`."""
    second_adapter: Annotated["Adapter | None", Setting(DRAWING, metavar="NAME")]
    """The second vendor, where the calibrated score compares with one."""
    degradation: Annotated[str | None, Setting(INPUTS, metavar="STEP[:…][+STEP…]")]
    """How inputs were made, such as area:4+jpeg:75; refused unless the calibration's were, too."""
    group: Annotated[str | None, Setting(PROMISE, main=True, metavar="NAME")]
    """The group that all pictures belong to; the guarantee is then the one within it."""


class AnswersSettings(TypedDict, total=False):
    """Answers that are there already, in the place of a vendor and of photographs."""

    inputs: Annotated["Pictures", Setting(INPUTS, no_option=OFFLINE)]
    """What the vendor was sent for each photograph: arrays, (h, w, 3) uint8 or numbers from 0 to 1, paths or bytes.
    They are used as they are, or compared with what `degradation` makes where that is named.
    """
    outputs: Annotated["Sequence[Answer] | NDArray[Any]", Setting(DRAWING, no_option=OFFLINE)]
    """What it answered to each input: a picture, or a list of draws."""
    truths: Annotated["Pictures", Setting(INPUTS, no_option=OFFLINE)]
    """The photographs."""
    bands: Annotated[str, Setting(INPUTS, no_option="of files the adapter folder knows it: -p bands=COUNT:LOW:HIGH")]
    """What arrays hold that are no 8-bit sRGB, such as 4:0:10000: 4 bands of whole numbers from 0 to 10000; 4:0:1:float
    for others. By default 8-bit sRGB.
    """
    label: Annotated[str, Setting(DRAWING, no_option=OFFLINE)]
    """Vendor, model and settings that the outputs came from, in your words. By default given answers."""


class CalibrateSettings(
    AnswersSettings,
    GuaranteeSettings,
    LevelSettings,
    TableSettings,
    ScoreGroupSettings,
    ChoiceSettings,
    Settings,
    ClusterSettings,
    total=False,
):
    """The keywords of `calibrate`."""

    tuning: Annotated["str | Path | Sequence[KnownPhotograph]", Setting(PROMISE, metavar="FILE")]
    """File of `tune`, `compare` or `plan --pilot`: the photographs that they looked at do not calibrate. The run
    folder's own file is always obeyed. In Python also photographs that choices were made on, which are then refused.
    """


class CascadeSettings(GuaranteeSettings, Settings, total=False):
    """The keywords of `fit_cascade` and `fit_floor`."""


class TuneSettings(GuaranteeSettings, WantedSettings, ChoiceSettings, Settings, ClusterSettings, total=False):
    """The keywords of `tune`. It chooses the confidence bound of high-probability, too, unless that is named."""

    candidates: Annotated[
        "str | Sequence[str] | None",
        Setting(DRAWING, main=True, many=True, flag="--candidate", metavar="NAME[:k=v,…][@DRAWS]"),
    ]
    """A score to compare, with @DRAWS of so many draws. By default all that fit."""
    tuning_share: Annotated[float, Setting(DRAWING, number(0.05, 0.9), default=0.3)]
    """Share of the photographs that candidates are compared on."""
    only_choose: Annotated[bool, Setting(OUTPUT, SWITCH, main=True)]
    """Do not calibrate. Write a file that tells `calibrate` which photographs were looked at."""


class LearnSettings(Settings, total=False):
    """The keywords of `learn_score`."""

    outputs: Annotated["str | Path | None", Setting(INPUTS, metavar="FOLDER")]
    """Folder of outputs of the photographs to learn from, of any network, stored as the adapter folder reads them. By
    default the embedded vendor makes them, and for the score predicted-invention your vendor does.
    """


class PlanSettings(GuaranteeSettings, LevelSettings, WantedSettings, ScoreGroupSettings, Settings, total=False):
    """The keywords of `plan`."""

    pilot: Annotated[int | None, Setting(MONEY, whole(5), main=True)]
    """Draw so many of the photographs, which costs money, to see what this vendor's answers let be trusted. They do not
    calibrate.
    """
    stand_in: Annotated[bool, Setting(MONEY, SWITCH)]
    """Let the vendor that ships with this program draw the pilot, free of charge. The error then covers other vendors.
    """
    claim: Annotated[str | None, Setting(MONEY, metavar="FIGURE:at_most=SHARE")]
    """Say how many paid calls `audit --claim` probably takes, by a pilot or the last audit in the run folder; such as
    invented:at_most=0.2.
    """
    quote: Annotated[bool, Setting(MONEY, SWITCH, main=True)]
    """Ask the vendor for its price, free of charge, instead of its price list. Needs photographs, not their number."""


class PaidSettings(TypedDict, total=False):
    """How many answers are bought."""

    paid: Annotated[int | None, Setting(MONEY, whole(8), main=True)]
    """Buy the answers to so many of the measured photographs, drawn at random; free pictures of all of them narrow the
    intervals."""


class CompareSettings(GuaranteeSettings, Settings, PaidSettings, total=False):
    """The keywords of `compare`."""

    held_out: Annotated[float, Setting(DRAWING, SHARE, default=0.5)]
    """Share of the photographs that is measured and does not calibrate."""
    baselines: Annotated[bool, Setting(DRAWING, SWITCH, default=True)]
    """Measure interval images and soft masks, too."""


class AuditSettings(
    TableSettings, CalibratedSettings, JobSettings, ClusterSettings, FirstAnswersSettings, PaidSettings, total=False
):
    """The keywords of `audit`. With groups the risk of each is shown; the guarantee stays as it is."""

    on_picture: Annotated["OnPicture | None", Setting(OUTPUT, no_option=CALLED)]
    """Gets each photograph's pixels and maps, in worker threads; refused beside `cluster`."""
    crops: Annotated["WorstCrops | None", Setting(OUTPUT, no_option="--out and --worst keep them")]
    """Keeps the surroundings of the worst pixels."""
    stop: Annotated[bool, Setting(MONEY, SWITCH, default=True)]
    """Draw no more photographs once those drawn confirm or contradict the guarantee."""


class WatchSettings(LevelSettings, TrustSettings, JobSettings, total=False):
    """The keywords of `watch`."""

    canaries: Annotated[int | None, Setting(DRAWING, whole(1, 256, "K"), main=True)]
    """How many pictures are sent at every visit; fixed at the first. By default 8."""
    level: Annotated[float | None, Setting(PROMISE, SHARE, metavar="P")]
    """Probability of ever raising a false alarm; fixed at the first visit. By default 0.01."""
    fresh: Annotated["Photographs", Setting(INPUTS, main=True, many=True, metavar="PHOTOGRAPHS")]
    """Photographs that calibration has not seen, by which the risk itself is watched, at the level `alpha`."""
    fresh_each: Annotated[int, Setting(INPUTS, whole(1, 1000), default=1)]
    """How many of them a visit takes."""
    max_cost_in_all: Annotated["float | str | Decimal | None", Setting(MONEY, USD)]
    """The most that all visits may cost together, US dollars."""
    second_adapter: Annotated["Adapter | None", Setting(DRAWING, metavar="NAME")]
    """The second vendor, where the calibrated score compares with one."""
    sign_with: Annotated["SigningKey | None", Setting(PROMISE, metavar="FILE")]
    """Sign with this private key; `key new` makes one. Never taken from a project's settings file."""


class MaskSettings(CalibratedSettings, TrustSettings, total=False):
    """What a mask promises, and of which pictures."""

    empty_masks: Annotated[bool, Setting(MONEY, SWITCH)]
    """Draw and pay even where every mask is known to be empty at this level."""
    outside: Annotated[float, Setting(PROMISE, number(0, 1, metavar="P"), default=0.01)]
    """Inputs with a p-value at or below this are marked as outside the guarantee; 0 turns the check off."""
    fallback: Annotated["Calibration | str | Path | None", Setting(PROMISE, metavar="FILE")]
    """Calibration of a cascade without its last vendor: where that one cannot be had, the answer before is masked."""


class ApplySettings(MaskSettings, JobSettings, total=False):
    """The keywords of `mask`."""


class ApplyAllSettings(ApplySettings, ClusterSettings, total=False):
    """The keywords of `mask_all`."""


class ShiftSettings(ProgressSettings, total=False):
    """How inputs are compared: the keywords of `suggest_degradation` and `compare_inputs`."""

    level: Annotated[float, Setting(PROMISE, SHARE, default=0.05)]
    """Probability of calling inputs of one kind different."""
    seed: Annotated[int, Setting(INPUTS, COUNT)]
    """Seed of the random permutations. By default 0."""


class InputsSettings(ShiftSettings, total=False):
    """The keywords of `compare_inputs`."""

    group: Annotated[str | None, Setting(PROMISE, metavar="NAME")]
    """Compare with the photographs of this group alone."""


class DegradeSettings(ProgressSettings, total=False):
    """The keywords of `degrade`."""

    scale: Annotated[int | None, Setting(INPUTS, whole(1, 16))]
    """How many times smaller the inputs are. By default as the degradation says, or 4."""
    degradation: Annotated[str | None, Setting(INPUTS, metavar="STEP[:…][+STEP…]")]
    """How they are made, such as area:4+noise:3+jpeg:60-95; see `list degradations`. By default bicubic."""
    seed: Annotated[int, Setting(INPUTS, INTEGER)]
    """Root of random degradations. By default 0."""
    force: Annotated[bool, Setting(OUTPUT, SWITCH)]
    """Overwrite files with other content."""


class CheckSettings(ProgressSettings, total=False):
    """The keywords of `check`."""

    usual: Annotated["Levels | str | Path | None", Setting(PROMISE, metavar="FILE", main=True)]
    """Compare with these pairs: what `check --json` wrote of other pairs of the vendor, at least 20."""
    calibration: Annotated["Calibration | str | Path | None", Setting(PROMISE, metavar="FILE", main=True)]
    """Compare with the answers of this calibration, as masks do."""
    level: Annotated[float, Setting(PROMISE, SHARE, default=0.01)]
    """Probability of any fact of a pair that is like those it is compared with."""
    out: Annotated["str | Path | None", Setting(OUTPUT, metavar="FOLDER", main=True)]
    """Folder for the answers with their facts framed, one colour for each kind."""
    force: Annotated[bool, Setting(OUTPUT, SWITCH)]
    """Overwrite files with other content."""


class SessionSettings(MaskSettings, DrawingSettings, total=False):
    """The keywords of `Session`."""

    max_cost_per_day: Annotated[
        "float | str | Decimal | None", Setting(MONEY, USD, main=True, limit="max_cost_per_day_usd")
    ]
    """The most that may be spent in any 24 hours, US dollars, whichever process spends it."""
    service: Annotated[bool, Setting(MONEY, SWITCH, no_option="`serve` is such a service")]
    """The session belongs to a service that is started again and again: `max_cost` and `max_calls` limit whatever the
    run folder's ledger holds, and it opens also while the calibration's watch suspends it.
    """


def _take_what_is_said() -> None:
    """Give each setting the text below its key in this file, which Python itself does not keep."""
    for kind in ast.parse(Path(__file__).read_text(encoding="utf-8")).body:
        if not isinstance(kind, ast.ClassDef):
            continue
        for pair in pairwise(kind.body):
            match pair:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(said))):
                    setting = get_args(globals()[kind.name].__annotations__[name])[1]
                    setting.help, _, usual = " ".join(said.split()).partition(" By default ")
                    setting.usual = usual.removesuffix(".")


_take_what_is_said()
