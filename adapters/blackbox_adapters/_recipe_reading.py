"""Read a recipe's TOML file; an error names the line, the key, the expected and the actual value."""

import difflib
import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from blackbox_adapters._reading import base64_text, data_link
from blackbox_adapters._recipe_format import RecipeFile, RecipeRequest
from blackbox_conformal.errors import UsageError
from blackbox_conformal.support.secrets import Secret, revealed
from blackbox_conformal.support.wording import complaint
from blackbox_conformal.vendor.adapter import Draw, Upload

# Placeholders in braces: the names that a recipe may use, and their values for one draw.

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*(?:\.[A-Za-z0-9_-]+)*)\}")

BUILT_IN = frozenset(
    {
        "image.base64",
        "image.link",
        "image.width",
        "image.height",
        "target.width",
        "target.height",
        "scale",
        "scale.percent",
        "scale.text",
        "seed",
        "key",
        "time",
    }
)
"""Names that every recipe may use: the picture, its size, the wanted size, magnification, seed, idempotency key, and
seconds since 1970."""

_ABSENT = object()


def built_in(upload: Upload, draw: Draw, scale: int) -> dict[str, Any]:
    return {
        "image.base64": base64_text(upload.png),
        "image.link": data_link(upload.png),
        "image.width": upload.width,
        "image.height": upload.height,
        "target.width": upload.width * scale,
        "target.height": upload.height * scale,
        "scale": scale,
        "scale.percent": scale * 100,
        "scale.text": str(scale),
        "seed": draw.seed,
        "key": draw.idempotency_key,
    }


def placeholders(template: Any, location: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(template, str):
        for name in PLACEHOLDER.findall(template):
            yield location, name
    elif isinstance(template, Mapping):
        for key, value in template.items():
            yield from placeholders(value, (*location, str(key)))
    elif isinstance(template, list):
        for index, value in enumerate(template):
            yield from placeholders(value, (*location, index))


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """Return the template with its placeholders replaced.

    A text of one placeholder takes the value itself, so that numbers stay numbers. A key is left out if its placeholder
    has no value (a seed that is not sent). A text with a secret in it is a secret.
    """
    filled = _fill(template, values)
    return None if filled is _ABSENT else filled


def fill_link(template: str, values: Mapping[str, Any]) -> str:
    """Fill the template of a link or path; values are percent-encoded unless the whole text is one placeholder."""
    if PLACEHOLDER.fullmatch(template):
        return str(_fill(template, values))
    return PLACEHOLDER.sub(
        lambda match: quote(str(values[match[1]]), safe="/" if match[1].startswith("option.") else ""), template
    )


def _fill(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, str):
        whole = PLACEHOLDER.fullmatch(template)
        if whole:
            value = values[whole[1]]
            # A missing value takes its whole key with it.
            return _ABSENT if value is None else value
        text = PLACEHOLDER.sub(
            lambda match: "" if values[match[1]] is None else str(revealed(values[match[1]])), template
        )
        secret = any(isinstance(values[name], Secret) for name in PLACEHOLDER.findall(template))
        # A text that holds a secret is secret, so that no log shows it.
        return Secret(text, lasting=False) if secret else text
    if isinstance(template, Mapping):
        pairs = ((key, _fill(value, values)) for key, value in template.items())
        return {key: value for key, value in pairs if value is not _ABSENT}
    if isinstance(template, list):
        return [value for value in (_fill(value, values) for value in template) if value is not _ABSENT]
    return template


SHIPPED = Path(__file__).with_name("recipes")
_LARGEST_FILE = 1 << 18

_Location = tuple[str | int, ...]
_Problem = tuple[_Location, str]

_HEADER = re.compile(r"^\s*(\[{1,2})\s*([^\[\]]+?)\s*\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def read_recipe(name: str) -> RecipeFile:
    """Read the shipped recipe called `name`, or the recipe in the file of that name."""
    path = SHIPPED / f"{name}.toml" if name in shipped_names() else Path(name)
    try:
        with path.open("rb") as file:
            # One byte over the limit shows that a file is too large, without reading it whole.
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise UsageError(f"{path.name}: expected a recipe of at most {_LARGEST_FILE} bytes; it is larger")
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        shipped = ", ".join(shipped_names())
        raise UsageError(
            f"expected -p recipe=FILE, the path of a TOML file, or one of {shipped}; {name!r} is neither "
            f"({type(error).__name__}). Of a recipe of your own a calibration keeps the name, and not where it lies"
        ) from None
    try:
        table = tomllib.loads(text)
    except ValueError as error:
        raise UsageError(f"{path.name}: expected TOML; {error}") from None
    except RecursionError:
        raise UsageError(f"{path.name}: expected a recipe; it is nested too deeply") from None
    # The base comes first: without it the tables cannot be joined, and every other complaint would mislead.
    problems = list(_of_base(table))
    try:
        table = table if problems else _extended(table)
        recipe = RecipeFile.model_validate(table)
    except ValidationError as error:
        problems = problems or [(problem["loc"], _said(problem)) for problem in error.errors(include_url=False)]
    else:
        problems += _problems(recipe, table)
    if problems:
        lines = sorted((line_of(text, where), ".".join(map(str, where)), said) for where, said in problems)
        raise UsageError(
            f"{path.name} is not a recipe: " + "; ".join(f"line {line}: {key}: {said}" for line, key, said in lines)
        )
    return recipe


def shipped_names() -> list[str]:
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def _tables(name: str) -> dict[str, Any]:
    return _extended(tomllib.loads((SHIPPED / f"{name}.toml").read_text(encoding="utf-8")))


def _extended(table: dict[str, Any]) -> dict[str, Any]:
    """Join `table` with the shipped recipe it extends, except the name; where both have a key, this recipe's counts."""
    if not table.get("extends"):
        return table
    joined: dict[str, Any] = dict(table)
    for key, value in _tables(table["extends"]).items():
        # Without a plain value of its own the recipe takes the base's; a missing table starts empty and is joined
        # below.
        own = table.get(key, {} if isinstance(value, dict) else value)
        if key != "name" and key not in table.get("without", []):
            joined[key] = {**value, **own} if isinstance(value, dict) and isinstance(own, dict) else own
    return joined


def _of_base(table: dict[str, Any]) -> Iterator[_Problem]:
    name, without = table.get("extends", ""), table.get("without", [])
    if name and name not in shipped_names():
        yield ("extends",), f"expected a shipped recipe, one of {', '.join(shipped_names())}; got {name!r}"
        return
    offered = sorted(_tables(name)) if name else []
    if not isinstance(without, list) or any(key not in offered for key in without):
        yield ("without",), f"expected tables of the recipe that extends names, among {', '.join(offered) or 'none'}"


def _said(problem: ErrorDetails) -> str:
    beside = _beside(problem["loc"])
    name = str(problem["loc"][-1]) if problem["loc"] else ""
    if problem["type"] == "extra_forbidden":
        # A misspelt key is the likeliest mistake: one near name helps more than the whole list.
        near = difflib.get_close_matches(name, beside, n=1)
        return "there is no such key; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(beside)}")
    field = beside.get(name)
    # A user may paste the key where its variable's name belongs: keep it out of logs.
    if problem["loc"] in (("auth", "variable"), ("auth", "secret_variable")) and field is not None:
        return f"expected {field.description}; what is there is not shown, since it may be a key"
    return complaint(problem, field)


def _beside(location: _Location) -> dict[str, FieldInfo]:
    table: type[BaseModel] = RecipeFile
    for step in location[:-1]:
        field = _keys(table).get(str(step))
        # An optional table's annotation is a union, so its model is among the arguments.
        inner = [] if field is None else [field.annotation, *get_args(field.annotation)]
        table = next((kind for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel)), table)
    return _keys(table)


def _keys(table: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in table.model_fields.items()}


def _not_finite(value: Any, where: _Location) -> Iterator[_Problem]:
    """Refuse numbers that TOML has and JSON, the form of requests and fingerprints, has not."""
    if isinstance(value, float) and not math.isfinite(value):
        yield where, f"expected a finite number; got {value}"
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from _not_finite(inner, (*where, key))


def _problems(recipe: RecipeFile, table: dict[str, Any]) -> Iterator[_Problem]:
    """Find mistakes beyond types: placeholders without a value, and tables that need each other."""
    yield from _not_finite(table, ())
    yield from _of_keys(recipe, table)
    secrets = _secrets(recipe)
    names = set(BUILT_IN) | {f"option.{name}" for name in recipe.options}
    for index in range(len(recipe.before)):
        yield from _unknown(table["before"][index], ("before", index), names, secrets)
        # Only the requests after this one know the values it keeps, so the order of this loop matters.
        names |= set(recipe.before[index].keep)
    yield from _unknown(table["submit"], ("submit",), names, secrets)
    if recipe.poll is not None and "job" not in recipe.submit.keep:
        yield ("submit", "keep"), 'expected job = "path of the job\'s id", since there is a [poll] table'
    yield from _of_jobs(recipe, table)
    for where, request in [("submit", recipe.submit), *((f"before.{i}", r) for i, r in enumerate(recipe.before))]:
        kinds = (request.json_body is not None, request.form is not None or request.file is not None, request.body)
        if sum(kinds) > 1:
            yield tuple(where.split(".")), "expected one kind of body: json, form with file, or body = true"
    sent = [name for _, name in placeholders([table["submit"], table.get("before", [])])]
    carried = any(request.file or request.body for request in (recipe.submit, *recipe.before))
    if not carried and not {"image.base64", "image.link"} & set(sent):
        yield (
            ("submit",),
            ("expected the picture: file = NAME of its part, body = true, {image.base64} or {image.link}"),
        )
    # `low` is a flat price and `rows` a table of prices: both or neither leaves the bound undefined.
    if recipe.price is not None and (recipe.price.low is None) == (not recipe.price.rows):
        yield ("price",), "expected either low and high, or rows"
    for index, refusal in enumerate(recipe.refusals):
        if len({"equals", "one_of", "not_equals", "contains"} & refusal.model_fields_set) != 1:
            yield ("refusals", index), "expected exactly one of equals, one_of, not_equals, contains"
        if refusal.billed and refusal.means != "refused":
            yield ("refusals", index, "billed"), 'expected means = "refused" beside it'
    ways = [bool(recipe.picture.body), bool(recipe.picture.base64), bool(recipe.picture.link)]
    if sum(ways) != 1:
        yield ("picture",), "expected exactly one of body = true, base64 = PATH, link = PATH"
    if recipe.scale.default not in recipe.scale.factors:
        yield ("scale", "default"), f"expected one of factors {recipe.scale.factors}; got {recipe.scale.default}"
    if recipe.seed is None and any(name == "seed" for _, name in placeholders(table.get("submit"))):
        yield ("submit",), "expected a [seed] table, since {seed} is used"
    # The contract checks also resume the draw, so they must know the answer with which it begins again.
    if (recipe.poll is not None or recipe.picture.link) and recipe.example.polls is None:
        yield ("example",), "expected polls = index of the first answer after that of [submit]"


def _of_jobs(recipe: RecipeFile, table: dict[str, Any]) -> Iterator[_Problem]:
    names = set(BUILT_IN) | {f"option.{name}" for name in recipe.options} | {"job"}
    for name in ("poll", "result", "cancel"):
        if name not in table:
            continue
        if recipe.poll is None:
            yield (name,), "expected a [poll] table, since this request follows one"
            continue
        known = names | (set(recipe.poll.keep) if name == "result" else set())
        yield from _unknown(table[name], (name,), known, _secrets(recipe))


def _requests(recipe: RecipeFile) -> Iterator[tuple[_Location, RecipeRequest]]:
    yield from ((("before", index), request) for index, request in enumerate(recipe.before))
    others = {"submit": recipe.submit, "poll": recipe.poll, "result": recipe.result, "cancel": recipe.cancel}
    yield from (((name,), request) for name, request in others.items() if request is not None)


def _secrets(recipe: RecipeFile) -> set[str]:
    auth = recipe.auth
    found = {
        "auth.key": auth is not None,
        "auth.secret": auth is not None and auth.secret_variable is not None,
        "auth.token": recipe.token is not None,
        "signature": recipe.signature is not None,
    }
    return {name for name, there in found.items() if there}


def _of_keys(recipe: RecipeFile, table: dict[str, Any]) -> Iterator[_Problem]:
    names = set(BUILT_IN) | {f"option.{name}" for name in recipe.options}
    if recipe.auth is None:
        yield from (((name,), "expected an [auth] table") for name in ("token", "signature") if name in table)
        return
    if recipe.token is not None:
        # The request for the token cannot carry the token.
        yield from _unknown(table["token"], ("token",), names, _secrets(recipe) - {"auth.token"})
        link = recipe.token.path
        if not link.startswith(("/", "https://")) or "{" in link:
            yield ("token", "path"), "expected a path, or a whole https:// link without placeholders"
        if not recipe.token.key or not recipe.token.header:
            yield ("token",), "expected the key in this request, and a header that carries the token"
    if recipe.signature is not None:
        yield from _unknown(table["signature"], ("signature",), names, _secrets(recipe) - {"signature", "auth.token"})
    own = {urlsplit(url)[:2] for url in (recipe.url, *recipe.further_urls)}
    for where, request in _requests(recipe):
        scheme, host, *_ = urlsplit(request.path)
        if request.key and host and "{" not in host and (scheme, host) not in own:
            yield (*where, "path"), f"expected key = false beside it, or https and {host} in hosts of [auth]"
    placed = {name for part in ("token", "before", "submit") for _, name in placeholders(table.get(part))}
    if not (recipe.auth.header or recipe.auth.query or "auth.key" in placed):
        yield ("auth",), "expected a header or query that carries the key, or {auth.key} in a request"


def _unknown(part: dict[str, Any], where: _Location, names: set[str], secrets: set[str]) -> Iterator[_Problem]:
    for location, name in placeholders({key: value for key, value in part.items() if key != "keep"}):
        # Paths reach logs of servers and proxies, so no secret may stand in one.
        allowed = names | (secrets if part.get("key", True) and location[0] != "path" else set())
        if name not in allowed:
            yield (*where, *location), f"expected a placeholder among {', '.join(sorted(allowed))}; got {{{name}}}"


def line_of(text: str, location: Sequence[str | int]) -> int:
    """Return the line, counted from 1, of the key at `location`, or of the nearest table; 1 where nothing fits.

    The standard library's parser keeps no positions, so this searches the text for headers and keys.
    """
    best_length, best_line = 0, 1
    table: list[str | int] = []
    counts: Counter[str] = Counter()
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        key = None if header else _KEY.match(line)
        if header:
            table = _parts(header.group(2))
            if header.group(1) == "[[":
                name = header.group(2)
                table = [*table, counts[name]]
                counts[name] += 1
            elif table and counts[str(table[0])]:
                table = [table[0], counts[str(table[0])] - 1, *table[1:]]
            path = table
        elif key:
            path = [*table, *_parts(key.group(1))]
        else:
            continue
        if len(path) > best_length and list(location[: len(path)]) == path:
            best_length, best_line = len(path), number
    return best_line


def _parts(dotted: str) -> list[str | int]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]
