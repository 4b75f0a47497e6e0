"""The TOML form of a recipe: its tables and keys, and the errors that point at line and key.

How a recipe is carried out lives in `recipe`.
"""

import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blackbox_adapters._recipe_fill import BUILT_IN, placeholders
from blackbox_adapters._recipe_lines import line_of
from blackbox_conformal.errors import UsageError

SHIPPED = Path(__file__).with_name("recipes")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Auth(_Table):
    """Where the key comes from and how it is sent."""

    variable: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    header: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    prefix: str = ""


class Scale(_Table):
    """Magnifications, and whether results have exactly the asked size."""

    factors: list[int] = Field(min_length=1)
    default: int
    output: Literal["exact", "resample"] = "exact"


class Seed(_Table):
    """The inclusive range of seeds; `hazard`: the vendor has a fixed default."""

    lowest: int = 0
    highest: int = 2**31 - 1
    hazard: bool = False


class Limits(_Table):
    """Limits on pictures."""

    min_side: int | None = None
    max_side: int | None = None
    max_input_pixels: int | None = None
    max_output_pixels: int | None = None
    max_upload_bytes: int | None = None


class PriceRange(_Table):
    """Price of a draw in US dollars, as texts, with where it was read."""

    low: Decimal = Field(ge=0)
    high: Decimal = Field(ge=0)
    source: str = Field(min_length=1)


class Request(_Table):
    """One request: a path below the address or a whole link, and at most one kind of body.

    `json` is sent as JSON; `form` with or without `file` (the name of the part that takes the picture) as a form,
    whose tables are written as JSON; `form_from` names a kept value that is itself a JSON object of form fields.
    `keep` stores values of the answer under names for later placeholders.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"] = "POST"
    path: str
    headers: dict[str, str] = {}
    json_body: dict[str, Any] | None = Field(default=None, alias="json")
    form: dict[str, Any] | None = None
    form_from: str | None = None
    file: str | None = None
    keep: dict[str, str] = {}
    key: bool = True


class Poll(Request):
    """How a job is looked at; a status outside `done` and `failed` means: look again."""

    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    seconds: float = Field(default=2.0, ge=0.1)
    status: str
    done: list[str] = Field(min_length=1)
    failed: list[str] = []


class Picture(_Table):
    """Where the picture is: the whole `body`, a `base64` value, or behind a `link`."""

    body: bool = False
    base64: str = ""
    link: str = ""
    key: bool = False
    hosts: list[str] = []


class Refusal(_Table):
    """A value in an HTTP 200 answer that means no."""

    path: str
    equals: Any
    message: str


class Errors(_Table):
    """Where the vendor's own words are, and statuses that mean something else than usual."""

    message: list[str] = []
    code: list[str] = []
    request_id: list[str] = []
    request_id_header: str = ""
    account: list[int] = []
    later: list[int] = []
    refused: list[int] = []
    wait: float | None = None


class Seen(_Table):
    """Where an answer names the cost (in units of `usd_per_unit`), the model and the seed."""

    cost: str = ""
    usd_per_unit: Decimal = Decimal(1)
    model: str = ""
    seed: str = ""


class ExampleAnswer(_Table):
    """One answer of the example: a JSON text, or the picture itself."""

    status: int = 200
    json_text: str = Field(default="", alias="json")
    picture: bool = False


class ExampleExchange(_Table):
    """A draw for the contract checks: its answers in order, and where `resume` begins."""

    answers: list[ExampleAnswer] = Field(min_length=1)
    polls: int | None = None


class Recipe(_Table):
    """A vendor, told without code."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    title: str = Field(min_length=1)
    about: str = ""
    documentation: str = Field(pattern=r"^https://")
    evidence: Literal["openapi", "real-server", "documents"] = "documents"
    uncertain: list[str] = []
    url: str = Field(pattern=r"^https?://")
    auth: Auth | None = None
    scale: Scale
    seed: Seed | None = None
    limits: Limits = Limits()
    price: PriceRange | None = None
    deterministic: bool = False
    lossless: bool = True
    options: dict[str, Any] = {}
    before: list[Request] = []
    submit: Request
    poll: Poll | None = None
    picture: Picture
    refusals: list[Refusal] = []
    errors: Errors = Errors()
    seen: Seen = Seen()
    example: ExampleExchange


def read_recipe(name: str) -> Recipe:
    """The shipped recipe called `name`, or the one in the file of that name.

    Raises
    ------
    UsageError
        There is none, or it is not a recipe; the message gives the line and the key.
    """
    path = SHIPPED / f"{name}.toml" if name in shipped_names() else Path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(shipped_names())
        raise UsageError(
            f"expected a recipe: give -p recipe=FILE with the path of a TOML file, or one of {known}; got {name!r}"
            f" ({type(error).__name__})"
        ) from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path.name}: expected TOML; {error}") from None
    try:
        recipe = Recipe.model_validate(table)
    except ValidationError as error:
        problems = [
            (problem["loc"], "there is no such key" if problem["type"] == "extra_forbidden" else problem["msg"])
            for problem in error.errors(include_url=False)
        ]
    else:
        problems = list(_problems(recipe, table))
    if problems:
        lines = sorted((line_of(text, where), ".".join(map(str, where)), said) for where, said in problems)
        raise UsageError(
            f"{path.name} is not a recipe: " + "; ".join(f"line {line}: {key}: {said}" for line, key, said in lines)
        )
    return recipe


def shipped_names() -> list[str]:
    """Names of the recipes that come with this package."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


_Problem = tuple[tuple[str | int, ...], str]


def _problems(recipe: Recipe, table: dict[str, Any]) -> Iterator[_Problem]:
    """What the types cannot say: placeholders without a value, and tables that need each other."""
    known = set(BUILT_IN) | {f"option.{name}" for name in recipe.options}
    for index in range(len(recipe.before)):
        yield from _unknown(table["before"][index], ("before", index), known)
        known |= set(recipe.before[index].keep)
    yield from _unknown(table["submit"], ("submit",), known)
    if recipe.poll is not None:
        yield from _unknown(table["poll"], ("poll",), set(BUILT_IN) | {"job"})
        if "job" not in recipe.submit.keep:
            yield ("submit", "keep"), 'expected job = "path of the job\'s id", since there is a [poll] table'
    for where, request in [("submit", recipe.submit), *((f"before.{i}", r) for i, r in enumerate(recipe.before))]:
        if request.json_body is not None and (request.form is not None or request.file is not None):
            yield (*where.split("."), "json"), "expected one kind of body: json, or form with file"
    ways = [bool(recipe.picture.body), bool(recipe.picture.base64), bool(recipe.picture.link)]
    if sum(ways) != 1:
        yield ("picture",), "expected exactly one of body = true, base64 = PATH, link = PATH"
    if recipe.scale.default not in recipe.scale.factors:
        yield ("scale", "default"), f"expected one of factors {recipe.scale.factors}; got {recipe.scale.default}"
    if recipe.seed is None and any(name == "seed" for _, name in placeholders(table.get("submit"))):
        yield ("submit",), "expected a [seed] table, since {seed} is used"
    if (recipe.poll is not None or recipe.picture.link) and recipe.example.polls is None:
        yield ("example",), "expected polls = index of the first answer after that of [submit]"


def _unknown(part: dict[str, Any], where: tuple[str | int, ...], known: set[str]) -> Iterator[_Problem]:
    for location, name in placeholders({key: value for key, value in part.items() if key != "keep"}):
        if name not in known:
            yield (*where, *location), f"expected a placeholder among {', '.join(sorted(known))}; got {{{name}}}"
