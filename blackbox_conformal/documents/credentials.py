"""Content Credentials (C2PA) in picture files: a signed account of the sources and the promise.

The package c2pa-python, of the extra ``c2pa``, writes, reads and checks them; it is loaded when needed. A manifest may
name addresses; none is asked.
"""

import io
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np

from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.documents.ed25519 import PREFIX, refuse_odd_key
from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.documents.signature import signer_words
from blackbox_conformal.documents.trust_policy import Trusted, TrustPolicy
from blackbox_conformal.documents.x509 import ROOT, CertifiedKey, root_of
from blackbox_conformal.errors import BlackboxConformalError, CheckFailedError, MissingPackageError, UsageError
from blackbox_conformal.method.images.encode import grey_levels, mask_png
from blackbox_conformal.method.images.headers import inspect
from blackbox_conformal.method.images.read import opacity_of
from blackbox_conformal.method.risk.trust import trusted_share
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.text import printable, vendor_title

LABEL = "org.blackbox-conformal.certificate"  # Label of the assertion that holds what the certificate says.
# Largest file, plus eight bytes for each pixel, whose credentials are read: they take four times as much memory.
LARGEST = 64 * 2**20

_BY_MODEL = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_UNTRUSTED = "signingCredential.untrusted"
_SETTINGS = {
    "builder": {
        "thumbnail": {"enabled": False},
        "created_assertion_labels": [LABEL, "c2pa.actions", "c2pa.ingredient"],
    },
    "core": {"allowed_network_hosts": [], "decode_identity_assertions": False},
    # This program reads the signed file again itself, and gives its reasons.
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False},
}


@dataclass(frozen=True, slots=True)
class Ingredient:
    """A file that a picture was made of: its name and bytes."""

    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The sources of a picture and its promise.

    `title` and `paper`: names of the picture's file and its certificate. `given`, `vendor`, `mask`: the input, the
    vendor's answer (None for a mean of several) and the mask. `outside`: what a safe picture shows outside the mask;
    empty for the delivered picture.
    """

    title: str
    paper: str
    certificate: Certificate
    given: Ingredient
    vendor: Ingredient | None
    mask: Ingredient
    outside: str = ""

    @property
    def claim(self) -> dict[str, Any]:
        parts = {"input": self.given, "vendor": self.vendor, "mask": self.mask}
        files = {
            name: {"file": part.name, "digest": digest_bytes(part.content)} for name, part in parts.items() if part
        }
        files["certificate"] = {"file": self.paper}
        return {**claim_of(self.certificate), "outside_the_mask": self.outside, "files": files}

    @property
    def actions(self) -> list[dict[str, Any]]:
        """List what was done to the input, in order."""
        vendor = self.certificate.vendor_model or vendor_title(self.certificate.procedure["vendor"])
        said = "A machine enlarged or restored the picture and may have invented detail."
        if self.outside:
            said += f" {self.outside[0].upper()}{self.outside[1:]}."
        answer = [("vendor", "The vendor's answer, as it was received.")] if self.vendor else []
        return [
            {"action": "c2pa.opened", "parameters": {"ingredientIds": ["input"]}},
            {
                "action": "c2pa.edited",
                "digitalSourceType": _BY_MODEL,
                "softwareAgent": {"name": printable(vendor, 100)},
                "description": said,
            },
            *(
                {"action": "c2pa.placed", "description": words, "parameters": {"ingredientIds": [name]}}
                for name, words in [*answer, ("mask", "White where the picture is trusted.")]
            ),
        ]


def claim_of(certificate: Certificate) -> dict[str, Any]:
    """Return what a picture's credentials say of its certificate."""
    return {
        "statement": certificate.stated,
        "status": certificate.status,
        "guarantee": str(certificate.guarantee["name"]),
        "alpha": rounded(certificate.alpha),
        "trusted_share": rounded(certificate.trusted_share),
        "input": str(certificate.input["pixels"]),
        "calibration": certificate.calibration_digest,
        "procedure": certificate.fingerprint,
    }


def rounded(value: float) -> float:
    """Round a number to digits that every program keeps when it reads and writes."""
    return float(f"{value:.12g}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The content of a picture's whole credentials.

    `signer`: who signed, in words. `key`: the signer's key, if it is one of this package. `trusted`: the reader trusts
    the key or the authority that certified it. `claim`: what the certificate says, None for other programs' pictures.
    `mask`: the mask's file, if inside. `carried`: source files with credentials of their own.
    """

    signer: str
    key: str | None
    trusted: bool
    claim: Mapping[str, Any] | None
    mask: bytes | None = field(repr=False)
    carried: tuple[str, ...]
    why: str = ""  # Why a key that the reader knows does not count.

    @property
    def words(self) -> str:
        unknown = f"; {self.why or 'you have not told verify that you trust this signer'}"
        known = ", a signer that you trust" if self.trusted else unknown
        return f"Content Credentials are whole, signed by {self.signer}{known}"

    def to_json(self) -> dict[str, Any]:
        names = ("signer", "key", "trusted", "claim", "carried")
        return {name: getattr(self, name) for name in names}

    def file(self, kind: str) -> str | None:
        """Return the name of the ``certificate`` or ``mask`` file, without any folder; None if none is named."""
        named: Any = self.claim
        for step in ("files", kind, "file"):
            named = named.get(step) if isinstance(named, Mapping) else None
        return (Path(named).name or None) if isinstance(named, str) else None


class _ChangedError(CheckFailedError):
    # Changed content, or an invalid certificate of the signer; `codes` as C2PA has them.
    def __init__(self, codes: str) -> None:
        why = "the picture or its Content Credentials were changed after they were signed"
        if all(code.startswith("signingCredential.") for code in codes.split(", ")):
            why = "the signer's certificate is not valid, or has ended, and nothing shows that it was valid once"
        super().__init__(f"{why} ({codes}). Get the picture again from who signed it")
        self.codes = codes


def sign_picture(content: bytes, key: CertifiedKey, provenance: Provenance) -> tuple[bytes, dict[str, Any]]:
    """Return a picture's file with credentials, and what its certificate says of them; pixels do not change.

    Credentials of source files are kept byte by byte, unless they cannot be read at all.
    """
    library = _library()
    for dropped in ((), ("input",), ("vendor",), ("input", "vendor")):
        try:
            signed = _signed(content, key, provenance, dropped)
            found = _checked_json(signed, "image/png")
            break
        except (library.C2paError, CheckFailedError) as error:
            # Others' credentials may be too damaged to keep.
            if len(dropped) == 2:
                raise _unfit(error) from None
    lost = [
        part.name
        for name, part in (("input", provenance.given), ("vendor", provenance.vendor))
        if part and name in dropped
    ]
    said = [
        *found["carried"],
        *(f"{name} has Content Credentials that are not kept: they are damaged or too large" for name in lost),
    ]
    return signed, {"signed_by": _signer(found)[0], "of_parts": said}


def refuse_unfit(key: CertifiedKey) -> None:
    """Sign one pixel, to find a key's faults before anything is paid; errors as `sign_picture`."""
    library = _library()
    try:
        actions = {"actions": [{"action": "c2pa.created", "digitalSourceType": _BY_MODEL}]}
        manifest = {"assertions": [{"label": "c2pa.actions.v2", "data": actions}]}
        _checked_json(_embedded(mask_png(np.ones((1, 1), bool)), key, manifest), "image/png")
    except (library.C2paError, CheckFailedError) as error:
        raise _unfit(error) from None


def refuse_bands(procedure: Procedure) -> None:
    if procedure.bands is not None:
        raise UsageError(
            "expected 8-bit sRGB pictures for Content Credentials; those of this calibration have declared bands, and "
            "their files hold none. Leave --credentials out"
        )


def _unfit(error: Exception) -> UsageError:
    said = error.codes if isinstance(error, _ChangedError) else printable(str(error), 200)
    return UsageError(
        "expected a key and certificates that sign Content Credentials (C2PA's certificate profile); c2pa-python "
        f"refuses them: {said}. Ask their issuer for others, or sign with --sign-with FILE --credentials"
    )


def _signed(content: bytes, key: CertifiedKey, provenance: Provenance, dropped: Collection[str]) -> bytes:
    assertions = [
        {"label": "c2pa.actions.v2", "data": {"actions": provenance.actions}},
        {"label": LABEL, "kind": "Json", "data": provenance.claim},
    ]
    said: list[dict[str, Any]] = []
    files: dict[str, bytes] = {}
    for name, part in (("input", provenance.given), ("vendor", provenance.vendor), ("mask", provenance.mask)):
        if part is not None:
            relation = "parentOf" if name == "input" else "componentOf"
            said.append({"label": name, "title": part.name, "relationship": relation})
            files[name] = b"" if name in dropped else part.content
    said[-1]["data"] = {"format": "image/png", "identifier": "mask.png"}
    bare = [one for one in said if not files[one["label"]]]
    manifest = {"title": provenance.title, "format": "image/png", "assertions": assertions, "ingredients": bare}
    parts = [(one, files[one["label"]]) for one in said if one not in bare]
    return _embedded(content, key, manifest, parts, provenance.mask.content)


def _embedded(
    content: bytes,
    key: CertifiedKey,
    manifest: Mapping[str, Any],
    parts: Sequence[tuple[dict[str, Any], bytes]] = (),
    mask: bytes = b"",
) -> bytes:
    library = _library()
    made_by = {"claim_generator_info": [{"name": "blackbox-conformal", "version": version("blackbox-conformal")}]}
    info = library.C2paSignerInfo(key.algorithm.encode(), key.chain.encode(), key.private, None)
    signed = io.BytesIO()
    with (
        _context() as context,
        library.Signer.from_info(info) as signer,
        library.Builder({**made_by, **manifest}, context=context) as builder,
    ):
        if mask:
            builder.add_resource("mask.png", io.BytesIO(mask))
        for said, file in parts:
            builder.add_ingredient(said, _media_type(file), io.BytesIO(file))
        builder.sign(signer, "image/png", io.BytesIO(content), signed)
    return signed.getvalue()


def read_credentials(content: bytes, trusted: Trusted = (), anchors: str = "") -> Credentials | None:
    """Read the credentials in a picture's file; None if it has none.

    `trusted`: public keys, and `anchors`: authorities' certificates (PEM), that the reader trusts.
    """
    media_type, why = _media_type(content), None
    if media_type == "image/bmp":  # A format that cannot have any.
        return None
    try:
        found = _checked_json(content, media_type)
    except _library().C2paError.ManifestNotFound:
        return None
    signer, key = _signer(found)
    if key is None:
        sure = bool(anchors) and _checked_json(content, media_type, anchors)["state"] == "Trusted"
    else:
        public = bytes.fromhex(key.removeprefix(PREFIX))
        refuse_odd_key(public)
        # The certificate names the key, and only that key can have signed it.
        if _checked_json(content, media_type, root_of(public))["state"] != "Trusted":
            raise CheckFailedError(f"its Content Credentials name {key}, and that key did not sign them")
        why = TrustPolicy.of(trusted).refusal(key, "picture")
        sure = why == ""
    return Credentials(signer, key, sure, found["claim"], found["mask"], found["carried"], why or "")


def contradictions(found: Credentials, content: bytes, certificate: Certificate | None) -> list[str]:
    """List what a picture's (`content`) credentials claim against its mask or certificate."""
    claim, wrong, container = dict(found.claim or {}), [], inspect(content)
    digest = None if found.mask is None else digest_bytes(found.mask)
    if found.mask is None:
        wrong.append("they hold no mask")
    else:
        mask = grey_levels(found.mask, (container.height, container.width), 1)
        share = rounded(trusted_share(mask, opacity_of(content)))
        if claim.get("trusted_share") != share:
            wrong.append(f"trusted_share is {claim.get('trusted_share')!r}, and {share!r} of the mask in it is white")
    if certificate is not None:
        if digest != certificate.outputs.get("mask", {}).get("digest"):
            wrong.append("the mask in it is not the one that the certificate names")
        wrong += [
            f"{name} is {claim.get(name)!r}, and the certificate says {value!r}"
            for name, value in claim_of(certificate).items()
            if claim.get(name) != value
        ]
    return wrong


def without_credentials(png: bytes) -> bytes:
    """Remove the credentials from a PNG of this package; the signed bytes remain."""
    kept, at = [png[:8]], 8
    while at < len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        kept += [png[at:end]] if png[at + 4 : at + 8] != b"caBX" else []
        at = end
    return b"".join(kept)


def _checked_json(content: bytes, media_type: str, anchors: str = "") -> dict[str, Any]:
    library = _library()
    try:
        return _read_json(library, content, media_type, anchors)
    except (BlackboxConformalError, library.C2paError.ManifestNotFound):
        raise
    except library.C2paError as error:
        if not str(error).startswith("Remote"):
            raise _unreadable(error) from None
        raise CheckFailedError(
            "expected Content Credentials in the picture; it names an address where they lie, and no address is asked. "
            "Get a picture that holds them"
        ) from None
    except Exception as error:  # noqa: BLE001 - a hostile manifest leads its readers to exceptions of every kind
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> CheckFailedError:
    return CheckFailedError(
        f"its Content Credentials cannot be read ({type(error).__name__.lstrip('_')}): they are damaged, or made by no "
        "C2PA program. Get the picture again from who signed it"
    )


def _read_json(library: Any, content: bytes, media_type: str, anchors: str) -> dict[str, Any]:
    with _context(anchors) as context, library.Reader(media_type, io.BytesIO(content), context=context) as reader:
        store, labelled = json.loads(reader.json()), json.loads(reader.crjson())["manifests"]
        label = store["active_manifest"]
        manifest, state = store["manifests"][label], store["validation_state"]
        if state not in ("Valid", "Trusted"):
            raise _ChangedError(_failures(store))
        signed = next(one for one in labelled if one["label"] == label)["signature"]["certificateInfo"]
        mask = None
        for part in manifest.get("ingredients", ()):
            if part.get("data", {}).get("format") == "image/png":
                file = io.BytesIO()
                reader.resource_to_stream(part["data"]["identifier"], file)
                mask = file.getvalue()
    claim = next((one["data"] for one in manifest.get("assertions", ()) if one["label"] == LABEL), None)
    if claim is not None and not (
        isinstance(claim, dict) and all(isinstance(claim.get(name), float) for name in ("alpha", "trusted_share"))
    ):
        raise CheckFailedError(f"its Content Credentials hold an assertion {LABEL} that this package did not write")
    carried = tuple(filter(None, (_carried(part, store["manifests"]) for part in manifest.get("ingredients", ()))))
    issuer, name = signed["issuer"], _name(signed["subject"])
    return {"state": state, "issuer": issuer, "name": name, "claim": claim, "mask": mask, "carried": carried}


def _failures(results: Mapping[str, Any]) -> str:
    # By the library's codes; an unknown signer is no finding.
    codes = re.findall(r'"code": "([\w.]+)"', json.dumps(_failed(results)))
    return ", ".join(sorted({code for code in codes if code != _UNTRUSTED}))


def _failed(results: Any) -> list[Any]:
    if isinstance(results, dict):
        own = [results["failure"]] if "failure" in results else []
        return own + [one for each in results.values() for one in _failed(each)]
    return [one for each in results for one in _failed(each)] if isinstance(results, list) else []


def _carried(part: Mapping[str, Any], manifests: Mapping[str, Any]) -> str:
    wrong = _failures(part.get("validation_results", {}))
    title, label = printable(str(part.get("title"))), part.get("active_manifest")
    if label is None:
        return f"{title} has Content Credentials that are not kept ({wrong})" if wrong else ""
    issuer = manifests.get(label, {}).get("signature_info", {}).get("issuer", "somebody")
    state = f"and were not whole ({wrong})" if wrong else "and were whole"
    return f'{title} has Content Credentials by "{printable(str(issuer))}", kept, {state}'


def _signer(found: Mapping[str, Any]) -> tuple[str, str | None]:
    issuer = found["issuer"]
    named = str(issuer.get("CN"))
    if issuer.get("O") == ROOT and re.fullmatch("[0-9a-f]{64}", named):
        return signer_words(PREFIX + named, found["name"]), PREFIX + named
    return f"{found['name']}, certified by {_name(issuer)}", None


def _name(subject: Mapping[str, Any]) -> str:
    return printable(str(subject.get("O") or subject.get("CN")))


def _media_type(content: bytes) -> str:
    container = inspect(content)
    largest = LARGEST + 8 * container.width * container.height
    if container.width and len(content) > largest:
        raise CheckFailedError(
            f"expected at most {largest} bytes in a picture of its size; got {len(content)}. Its Content Credentials "
            "are too large to be read"
        )
    return f"image/{container.format.lower()}"


def _context(anchors: str = "") -> Any:
    library = _library()
    trust = {"trust": {"trust_anchors": anchors}} if anchors else {}
    return library.Context(settings=library.Settings.from_dict({**_SETTINGS, **trust}))


def _library() -> Any:
    try:
        import c2pa
    except (ImportError, OSError):
        raise MissingPackageError(
            "expected the package c2pa-python for Content Credentials; it cannot be imported. Run: pip install "
            "c2pa-python"
        ) from None
    return cast(Any, c2pa)
