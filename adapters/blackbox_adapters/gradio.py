"""A Gradio application or a Hugging Face Space: upload, call, read the event stream, fetch the file.

Written against gradio 4, 5 and 6 run on loopback.
"""

import difflib
import json
import re
from collections.abc import Generator, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BeforeValidator, Field

from blackbox_adapters._failures import USUAL, Failures
from blackbox_adapters._hosted import JsonList, OptionalKey, OwnServer
from blackbox_adapters._named_inputs import SCALE_INPUTS, SEED_INPUTS, SEEDS, problem
from blackbox_adapters._reading import peek, require, shorten, words
from blackbox_conformal.errors import (
    AccountRefusedError,
    DeadlineError,
    JobCancelledError,
    NotFoundError,
    TryLaterError,
    VendorError,
    VendorFailedError,
)
from blackbox_conformal.support.secrets import Secret, read_credential
from blackbox_conformal.vendor.adapter import (
    FREE,
    Accepted,
    Answer,
    Capabilities,
    Draw,
    Flow,
    Inspection,
    Observed,
    Part,
    Purpose,
    Step,
    Upload,
)
from blackbox_conformal.vendor.example import Example, says, shows

# Compare a Gradio application's published calls with the arguments that are going to be sent.

PICTURES = ("Image", "ImageEditor", "ImageSlider", "Gallery", "File", "DownloadButton", "Imageslider")
_RANGE = re.compile(r"between (-?[\d.]+) and (-?[\d.]+)")


def check_call(info: Any, call: str, inputs: Sequence[Any], output: str, scale: int) -> None:
    """Refuse a call that the application lacks, arguments that it does not take, or a result that is no picture."""
    calls = peek(info, "named_endpoints")
    if not isinstance(calls, dict) or not calls:
        return
    described = calls.get(f"/{call}")
    if described is None:
        names = [name.removeprefix("/") for name in calls]
        near = next(iter(difflib.get_close_matches(call, names, n=1, cutoff=0.0)), names[0])
        raise NotFoundError(f"the application has no call {call!r}, only {', '.join(names)}; give -p call={near}")
    parameters, results = peek(described, "parameters"), peek(described, "returns")
    if isinstance(parameters, list):
        takes = ", ".join(words(parameter, "parameter_name", "label") for parameter in parameters) or "nothing"
        arguments = [_argument(parameter) for parameter in parameters]
        advice = f"; give -p inputs='{json.dumps(arguments, ensure_ascii=False)}'"
        needed = [parameter for parameter in parameters[len(inputs) :] if not peek(parameter, "parameter_has_default")]
        if len(inputs) > len(parameters) or needed:
            raise NotFoundError(f"the call {call} takes {takes}; got {len(inputs)} inputs{advice}")
        for parameter, argument, value in zip(parameters, arguments, inputs, strict=False):
            name, component = words(parameter, "parameter_name", "label"), words(parameter, "component")
            if (value == "{image}") != (component in PICTURES) and "{image}" in (value, argument):
                raise NotFoundError(
                    f"the call {call} takes {takes}, and {name} is a {component}; got {value!r}{advice}"
                )
            schema = peek(parameter, "type")
            # The range of a number stands only in its description.
            found = _RANGE.search(words(schema, "description"))
            bounds = {} if found is None else {"minimum": float(found[1]), "maximum": float(found[2])}
            sent = scale if value == "{scale}" else value
            asked = {**(schema if isinstance(schema, dict) else {}), **bounds}
            wrong = "" if value in ("{image}", "{seed}") else problem(sent, asked)
            if wrong:
                raise NotFoundError(f"the call {call} takes for {name} {wrong}; got {shorten(sent)}")
    if isinstance(results, list) and results:
        kinds = [words(result, "component") for result in results]
        pictures = [place for place, kind in enumerate(kinds) if kind in PICTURES]
        if pictures and int(output.partition(".")[0]) not in pictures:
            raise NotFoundError(
                f"the call {call} answers with {', '.join(kinds)}, of which {output} is no picture; give -p "
                f"output={pictures[0]}"
            )


def _argument(parameter: Any) -> Any:
    if words(parameter, "component") in PICTURES:
        return "{image}"
    names = {words(parameter, path).lower().replace(" ", "_") for path in ("parameter_name", "label")}
    for placeholder, known in (("{scale}", SCALE_INPUTS), ("{seed}", SEED_INPUTS)):
        if names & set(known):
            return placeholder
    default = peek(parameter, "parameter_default")
    return peek(parameter, "example_input") if default is None else default


class Gradio(OptionalKey, OwnServer):
    """An application with one call that enlarges a picture.

    `inputs` lists the call's arguments as ``/gradio_api/info`` does, with "{image}", "{scale}" and "{seed}" in their
    places. Pictures come as webp unless the application says ``gr.Image(format="png")``. A private Space needs
    ``authenticate=true`` and HF_TOKEN; a login of the application needs `login` and GRADIO_PASSWORD.

    A result is given once: a call that is interrupted just then is made again. So is one that ends with an error, such
    as a used-up quota, unless the error speaks of moderation or of an unreadable picture. One call is made at a time,
    since an application drops a call whose stream is closed, and works on one unless it says ``concurrency_limit``. A
    call that takes too long is dropped that way: it ends if it waits, or at a generator's next step; another function
    runs to its end, and its result is thrown away.

    Seeds: where "{seed}" is among the inputs.
    """

    name = "gradio"
    version = 2
    auth_variable = "HF_TOKEN"
    documentation = "https://www.gradio.app/guides/querying-gradio-apps-with-curl"
    evidence = "real-server"
    failures = Failures(message=["detail.0.msg", "detail.error", "detail", "error"])
    seeds_by_model = True
    uncertain = ("whether the proxy before a Space adds answers of its own",)
    transient = OptionalKey.transient | OwnServer.transient | {"login"}

    url: str = Field(description="Address of the application, such as https://owner-space.hf.space.")
    call: str = Field(
        default="predict",
        pattern=r"^[\w-]+$",
        description="Name of the call (api_name, no slash); an unknown one is HTTP 500.",
    )
    inputs: JsonList = Field(
        default=["{image}", "{scale}", "{seed}"], description="Arguments of the call as a JSON list with placeholders."
    )
    output: Annotated[str, BeforeValidator(str)] = Field(
        default="0",
        pattern=r"^\d+(\.\w+)*$",
        description="Which of the call's results is the picture; 0.1 is the second part of the first one.",
    )
    scale: int = Field(default=4, ge=1, le=16, description="Magnification of the application.")
    authenticate: bool = Field(default=False, description="Send HF_TOKEN, as a private Space asks.")
    login: str = Field(default="", description="User name of the application's own login; empty = it has none.")

    @property
    def capabilities(self) -> Capabilities:
        seeded = "{seed}" in self.inputs
        return Capabilities(
            scale_factors=(self.scale,),
            seed_range=SEEDS if seeded else None,
            price=self.given_price or FREE,
            output_size=self.output_size,
            transient_known=True,
            max_concurrency=1,
            answer_timeout_s=1800.0,
            cancels=True,
        )

    @property
    def key_variable(self) -> str | None:
        return super().key_variable or ("GRADIO_PASSWORD" if self.login else None)

    def key(self) -> dict[str, str | Secret]:
        """Return the token's header; only `_entered` sends a password."""
        return super().key() if self.authenticate else {}

    def inspect(self) -> Inspection:
        entry = yield from self._entered()
        prefix = yield from self._prefix(entry)
        info = yield self.send("GET", f"{prefix}/info", "lookup", entry)
        check_call(info.json(), self.call, self.inputs, self.output, self.scale)
        return None

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        entry = yield from self._entered()
        prefix = yield from self._prefix(entry)
        picture = Part("files", "input.png", upload.png)
        stored = yield self.send("POST", f"{prefix}/upload", "lookup", entry, files=(picture,))
        path = require(stored.json(), "0", "the uploaded file's path")
        values: dict[str, Any] = {
            "{image}": {"path": path, "meta": {"_type": "gradio.FileData"}},
            "{scale}": self.scale,
            "{seed}": draw.seed,
        }
        arguments = [values.get(item, item) if isinstance(item, str) else item for item in self.inputs]
        answer = yield self.send("POST", f"{prefix}/call/{self.call}", "submit", entry, json={"data": arguments})
        event = require(answer.json(), "event_id", "an event id")
        job = f"{prefix}/call/{self.call}/{quote(event, safe='')}"
        yield Accepted(job)
        return (yield from self._finish(job, entry))

    def resume(self, upload: Upload, draw: Draw, job: str) -> Flow:
        return (yield from self._finish(job, (yield from self._entered())))

    def _prefix(self, entry: Mapping[str, str | Secret]) -> Generator[Step, Answer, str]:
        """Ask for the beginning of the application's paths; Gradio 4 has no prefix, and says none."""
        configuration = yield self.send("GET", "/config", "lookup", entry)
        return words(configuration.json(), "api_prefix").rstrip("/")

    def _entered(self) -> Generator[Step, Answer, dict[str, str | Secret]]:
        if not self.login:
            return {}
        form = {"username": self.login, "password": read_credential("GRADIO_PASSWORD", self.name)}
        welcomed = yield self.send("POST", "/login", "lookup", form=form)
        cookie = _COOKIE.search(welcomed.headers.get("set-cookie", ""))
        if cookie is None:
            raise AccountRefusedError(f"the application at {self.base_url} gave no cookie for the login")
        return {"cookie": Secret(cookie[0], lasting=False)}

    def _finish(self, job: str, entry: Mapping[str, str | Secret]) -> Flow:
        """Read the event stream, open until the call is over and readable once; then fetch the file."""
        try:
            answer = yield self.send("GET", job, "poll", entry, once=True)
        except DeadlineError:
            # The stream is closed by now, so its result is lost. The route /cancel is not used: it lets the next call
            # begin while a plain function still works on this one.
            raise JobCancelledError("the application drops the call with its stream") from None
        kind, data = _last_event(answer.body)
        prefix, job = job.partition("/call/")[0], job.rpartition("/")[2]
        if kind == "error" and isinstance(data, str):
            # A text is the queue's own words, such as "404: Not Found" for an event whose result was given before; a
            # failed call has an object here.
            raise VendorFailedError(
                f"the application no longer has the call {job}: {shorten(data)}", request_id=job, code=kind
            )
        if kind == "error":
            reason = words(data, "error")
            message = reason or "the application gives no reason (before Gradio 6 none does)"
            raise USUAL.error(f"call {job} failed: {message}", reason, code="error", request_id=job)
        if kind != "complete":
            raise VendorFailedError(
                f"expected the call {job} to complete; its stream ended with {kind or 'nothing'}", request_id=job
            )
        if data is None:
            raise VendorFailedError(f"somebody cancelled the call {job}", request_id=job, code="cancelled")
        path = self._file(data, job)
        yield Observed(model=self.label or None, request_id=job)
        picture = yield self.send("GET", f"{prefix}/file={quote(path, safe='/')}", "download", entry)
        return picture.body

    def _file(self, data: Any, job: str) -> str:
        """Return the picture's path on the server. A wrong `output` is wrong for every picture of the run."""
        result = peek(data, self.output)
        while isinstance(result, list) and len(result) == 1:
            result = result[0]
        file = peek(result, "image") or result
        path = file if isinstance(file, str) else peek(file, "path")
        if isinstance(path, str) and path:
            return path
        if result is None and peek(data, self.output.partition(".")[0]) is None and isinstance(data, list):
            number = int(self.output.partition(".")[0])
            if number < len(data):
                raise VendorFailedError(f"call {job} gave nothing at result {number}", request_id=job)
        parts = [f"{self.output}.{part}" for part in range(len(result))] if isinstance(result, list) else []
        offered = ", ".join(parts or [str(number) for number in range(len(data) if isinstance(data, list) else 0)])
        found = words(data, self.output)[:120] or "nothing"
        raise NotFoundError(
            f"expected a file at result {self.output} of call {job}; got {found}. Say which result is the picture, "
            f"such as -p output={(parts or ['0'])[-1]} (there are {offered or 'none'})",
            request_id=job,
        )

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        """Read FastAPI's ``{detail}`` or the application's ``{error}``."""
        failure = self.failures.read(answer)
        message = failure.message
        if answer.status == 503 and message:
            return TryLaterError(f"the application's queue takes nothing: {message}", code="503")
        if answer.status == 401 or message.startswith("Incorrect credentials"):
            return AccountRefusedError(
                f"the application at {self.base_url} asks for a login (HTTP {answer.status}: {message}); give its user "
                "with -p login=NAME and its password in GRADIO_PASSWORD",
                code=str(answer.status),
            )
        if answer.status == 404 and purpose != "download":
            message += f"; is there a Gradio application of version 4 or later at {self.base_url}?"
        return self.failures.error(answer, purpose, failure._replace(message=message.removeprefix("; ")))


_COOKIE = re.compile(r"access-token-unsecure-[^=;, ]+=[^;, ]+")


def _last_event(stream: bytes) -> tuple[str, Any]:
    kind = ""
    last: tuple[str, Any] = ("", None)
    for line in stream.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        if name == "event":
            kind = value.strip()
        elif name == "data" and kind not in ("", "heartbeat", "generating"):
            try:
                last = (kind, json.loads(value))
            except ValueError:
                last = (kind, value.strip())
    return last


ADAPTER = Gradio

EXAMPLE = Example(
    parameters={"call": "upscale", "scale": 4},
    polls=3,
    answers=(
        says('{"version":"6.31.0","api_prefix":"/gradio_api"}'),
        says('["/tmp/gradio/ab12/input.png"]'),
        says('{"event_id":"1dbd1a1fe3a34d8c8c0e9d2d1b7a0001"}'),
        says(
            'event: heartbeat\ndata: null\n\nevent: complete\ndata: [{"path": "/tmp/gradio/cd34/image.png", '
            '"url": "{address}/gradio_api/file=/tmp/gradio/cd34/image.png"}]\n\n',
            content_type="text/event-stream",
        ),
        shows(),
    ),
    published=(
        says('{"version":"6.31.0","api_prefix":"/gradio_api","dependencies":[{"id":0,"api_name":"upscale"}]}'),
        says(
            '{"named_endpoints":{"/upscale":{"parameters":[{"parameter_name":"image","component":"Image"},'
            '{"parameter_name":"scale","component":"Number"},{"parameter_name":"seed","component":"Number"}],'
            '"returns":[{"label":"output","component":"Image"}]}}}'
        ),
    ),
    failures=(
        (
            says('{"version":"6.31.0","api_prefix":"/gradio_api","dependencies":[{"id":0,"api_name":"upscale"}]}'),
            says('["/tmp/gradio/ab12/input.png"]'),
            says('{"event_id":"1dbd1a1fe3a34d8c8c0e9d2d1b7a0002"}'),
            says('event: error\ndata: {"error": "GPU quota exceeded"}\n\n', content_type="text/event-stream"),
        ),
    ),
)
