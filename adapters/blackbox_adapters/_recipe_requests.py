"""A recipe's requests as `Send`: placeholders filled, keys and signatures as secrets, one kind of body."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from blackbox_adapters import _recipe_format as form
from blackbox_adapters._recipe_fill import fill, fill_link
from blackbox_conformal.errors import PayloadError
from blackbox_conformal.support.secrets import Secret, holds_secret, revealed
from blackbox_conformal.vendor.adapter import Part, Purpose, Send, Upload

Headers = dict[str, str | Secret]


def request(
    asked: form.RecipeRequest,
    spec: form.RecipeFile,
    address: str,
    values: Mapping[str, Any],
    upload: Upload,
    purpose: Purpose,
    more: Mapping[str, Any] | None = None,
) -> Send:
    """The request that a recipe describes.

    Parameters
    ----------
    address
        Where paths begin.
    values
        Values of the placeholders; those of ``auth.…`` are secrets.
    more
        Further fields of its JSON or form.
    """
    link = fill_link(asked.path, values)
    values = {**values, "time": int(time.time())}
    if spec.signature is not None and asked.key:
        values["signature"] = _signature(spec.signature, values)
    fields = {**(fill(asked.form, values) or {}), **(more or {} if asked.form or asked.file else {})}
    if asked.form_from is not None:
        fields |= _fields(values[asked.form_from])
    headers: Headers = {name.lower(): _text(fill(value, values)) for name, value in asked.headers.items()}
    if isinstance(asked, form.RecipeSubmit) and asked.idempotency_header:
        headers.setdefault(asked.idempotency_header.lower(), str(values["key"]))
    if asked.body:
        headers.setdefault("content-type", "image/png")
    query = {**asked.query, **({spec.auth.query: "{auth.key}"} if asked.key and spec.auth and spec.auth.query else {})}
    return Send(
        asked.method,
        address + link if link.startswith("/") else link,
        purpose=purpose,
        headers={**headers, **(key_headers(spec, values) if asked.key else {})},
        query={name: _text(value) for name, value in fill(query, values).items()},
        body=upload.png if asked.body else None,
        json=None if asked.json_body is None else {**fill(asked.json_body, values), **(more or {})},
        form={name: _text(value) for name, value in fields.items()} or None,
        files=() if asked.file is None else (Part(asked.file, "input.png", upload.png),),
        public=not asked.key,
    )


def key_headers(spec: form.RecipeFile, values: Mapping[str, Any]) -> Headers:
    """The headers that carry the key, and the token where there is one."""
    headers: Headers = {}
    if spec.auth is not None and spec.auth.header:
        headers[spec.auth.header.lower()] = values["auth.key"].prefixed(spec.auth.prefix)
    if spec.token is not None and "auth.token" in values:
        headers[spec.token.header.lower()] = values["auth.token"].prefixed(spec.token.prefix)
    return headers


def _signature(rule: form.RecipeSignature, values: Mapping[str, Any]) -> Secret:
    """The signature of the rule's text with the second secret, or with the key where there is none."""
    text = revealed(fill(rule.text, values))
    key = values.get("auth.secret") or values["auth.key"]
    if rule.key == "append":
        digest = hashlib.new(rule.hash, f"{text}{key.reveal()}".encode()).digest()
    else:
        digest = hmac.digest(key.reveal().encode(), str(text).encode(), rule.hash)
    return Secret(digest.hex() if rule.encoding == "hex" else base64.b64encode(digest).decode(), lasting=False)


def _text(value: Any) -> str | Secret:
    """A form field: text as it is, everything else as JSON; a secret stays one."""
    if isinstance(value, str | Secret):
        return value
    text = json.dumps(revealed(value))
    return Secret(text, lasting=False) if holds_secret(value) else text


def _fields(text: Any) -> dict[str, Any]:
    try:
        fields = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise PayloadError(f"expected a JSON object of form fields; got {str(text)[:80]!r}")
    return fields
