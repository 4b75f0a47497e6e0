"""AWS Signature Version 4 for one request with a whole body, from the standard library's hmac and hashlib.

Reference: AWS General Reference, "Create a signed AWS API request".
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from blackbox_conformal.support.secrets import Secret


def signed_headers(
    method: str,
    url: str,
    body: bytes,
    *,
    region: str,
    service: str,
    access_key: Secret,
    secret_key: Secret,
    session_token: Secret | None = None,
    headers: Mapping[str, str] | None = None,
    at: datetime | None = None,
) -> dict[str, str | Secret]:
    """Headers that make the request a signed one; the host is signed too but left for the client to send.

    Parameters
    ----------
    url
        Without a query. Its path is as it goes over the wire, percent-encoded; it is encoded once more for signing,
        as every service except S3 asks.
    headers
        Further headers to sign and send, names in lower case.
    at
        The moment of signing; None = now. A signature is good for a few minutes around it.
    """
    moment = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    parts = urlsplit(url)
    signed: dict[str, str | Secret] = {"host": parts.netloc, "x-amz-date": moment, **(headers or {})}
    if session_token is not None:
        signed["x-amz-security-token"] = session_token
    names = ";".join(sorted(signed))
    lines = [f"{name}:{_text(signed[name]).strip()}" for name in sorted(signed)]
    path = quote(parts.path or "/", safe="/-_.~")
    request = "\n".join([method, path, "", *lines, "", names, hashlib.sha256(body).hexdigest()])

    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = ("AWS4" + secret_key.reveal()).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()

    credential = f"{access_key.reveal()}/{scope}"
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    del signed["host"]
    return {**signed, "authorization": Secret(authorization, lasting=False)}


def _text(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value
