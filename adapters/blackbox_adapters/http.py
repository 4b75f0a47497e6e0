"""Plain HTTP: post a PNG to one address and get a picture back, bare or inside JSON.

It fits your own servers and vendors with such an interface. A vendor with jobs needs a recipe or an adapter.
"""

from decimal import Decimal
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pydantic import Field, field_validator

from blackbox_adapters._failures import Failures
from blackbox_adapters._hosted import OwnServer
from blackbox_adapters._reading import document, integer, money, peek, received, shorten
from blackbox_conformal.errors import PayloadError
from blackbox_conformal.support.secrets import Secret
from blackbox_conformal.vendor.adapter import Answer, Capabilities, Draw, Flow, Observed, Send, Upload
from blackbox_conformal.vendor.example import Example, shows


def observed(answer: Answer) -> Observed:
    """Read ``X-Cost-Usd``, ``X-Model``, ``X-Request-Id`` and ``X-Seed``; nonsense there counts as nothing."""
    headers = answer.headers
    return Observed(
        cost_usd=money(headers.get("x-cost-usd")),
        model=shorten(headers.get("x-model", "")) or None,
        request_id=shorten(headers.get("x-request-id", "")) or None,
        seed=integer(headers.get("x-seed")),
    )


class PlainHttp(OwnServer):
    """One POST a draw: the body is the input as PNG, magnification and seed are in the query.

    Name vendor and model in `label`, so that a server that moves stays the same vendor; without it the address tells
    vendors apart. The answer is the picture, or JSON with the picture (base64 or a link) at `picture-field`. The
    headers ``X-Model``, ``X-Cost-Usd``, ``X-Request-Id`` and ``X-Seed`` are read. Every draw has an
    ``Idempotency-Key``; say `idempotent` only if the server answers a repeated key without drawing again.
    """

    name = "http"
    auth_variable = "HTTP_VENDOR_KEY"
    documentation = "https://www.rfc-editor.org/rfc/rfc9110.html"
    evidence = "own-software"
    failures = Failures(
        message=["error.message", "message", "detail", "error"],
        code=["error.code", "code"],
        request_id_header="x-request-id",
    )
    transient = OwnServer.transient | {"key_header", "key_prefix", "idempotent"}
    key_parameters = {"key_header": "authorization", "key_prefix": "Bearer "}

    url: str = Field(description="Address that takes the POST, such as http://localhost:8000/v1/upscale.")
    scale: int = Field(default=4, ge=1, le=16, description="Magnification.")
    scale_parameter: str = Field(default="scale", description="Query parameter of the magnification; empty: none.")
    seed_parameter: str = Field(default="seed", description="Query parameter of the seed; empty: none is taken.")
    seed_maximum: int = Field(default=2**32 - 1, ge=1, description="Largest seed that the server takes.")
    picture_field: str = Field(
        default="", description="Where the picture is in a JSON answer, as in data.0.url; empty: the body."
    )
    key_header: str = Field(
        default="", description="Header for the key from HTTP_VENDOR_KEY, such as authorization; empty: no key."
    )
    key_prefix: str = Field(default="", description="Text before the key in that header, such as 'Bearer '.")
    idempotent: bool = Field(
        default=False, description="The server answers a repeated Idempotency-Key from store, so repeating is free."
    )

    @field_validator("url")
    @classmethod
    def _is_web_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            # Without a label the address is stored with the procedure, and a password in it would be kept in clear.
            raise ValueError("expected an address such as http://localhost:8000/v1/upscale")
        if parts.username or parts.password:
            raise ValueError(
                "expected no user name or password in the address; use -p key-header=… and HTTP_VENDOR_KEY"
            )
        names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
        if len(set(names)) < len(names):
            raise ValueError(f"expected each name once in the address's query; got {', '.join(names)}")
        return value

    @property
    def key_variable(self) -> str | None:
        return self.auth_variable if self.key_header else None

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            scale_factors=(self.scale,),
            seed_range=(0, self.seed_maximum) if self.seed_parameter else None,
            price=self.given_price,
            output_size=self.output_size,
            idempotency_header="Idempotency-Key" if self.idempotent else None,
            result_hosts=self.hosts(),
        )

    def key(self) -> dict[str, str | Secret]:
        return {self.key_header.lower(): self.credential().prefixed(self.key_prefix)} if self.key_header else {}

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        parts = urlsplit(self.base_url)
        # Keys of the address come first, so that a draw's own magnification and seed replace them.
        query: dict[str, str | Secret] = dict(parse_qsl(parts.query, keep_blank_values=True))
        if self.scale_parameter:
            query[self.scale_parameter] = str(self.scale)
        if self.seed_parameter and draw.seed is not None:
            query[self.seed_parameter] = str(draw.seed)
        headers = {"content-type": "image/png", "idempotency-key": draw.idempotency_key, **self.key()}
        address = urlunsplit(parts._replace(path=parts.path or "/", query="", fragment=""))
        answer = yield Send("POST", address, purpose="submit", headers=headers, query=query, body=upload.png)
        # Cost and request id are yielded before the picture is read, so that they are kept if reading fails.
        yield self.observe(answer)
        if self.picture_field:
            return (yield from received(peek(answer.json(), self.picture_field), self.picture_field))
        if "json" in answer.headers.get("content-type", ""):
            raise PayloadError(
                f"expected a picture as the answer's body; got JSON {shorten(document(answer))[:120]}. "
                "Say where the picture is in it with -p picture-field=…"
            )
        return answer.body

    def observe(self, answer: Answer) -> Observed:
        """Read the headers, also of an answer that failed."""
        return observed(answer)


ADAPTER = PlainHttp

EXAMPLE = Example(
    parameters={"label": "workshop", "key_header": "authorization", "key_prefix": "Bearer ", "idempotent": True},
    environment={"HTTP_VENDOR_KEY": "made-up-for-this-example"},
    answers=(shows(x_model="workshop-2", x_cost_usd="0.01", x_request_id="req_1", x_seed="7"),),
    cost_usd=Decimal("0.01"),
)
