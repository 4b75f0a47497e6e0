"""Papers about a vendor's claim: the manifest of the inputs, the vendor's signed answers, and what a test found.

The manifest commits both sides before an answer is known: the claim, the inputs, and the originals by digest alone. The
paper names the manifest's digest, so neither side can change what was agreed without the other noticing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field

from blackbox_conformal.documents.procedure import Procedure
from blackbox_conformal.documents.signature import Signature, Vouching
from blackbox_conformal.documents.stored import StoredPaper
from blackbox_conformal.documents.trust_policy import Trusted
from blackbox_conformal.errors import BlackboxConformalError, CheckFailedError, UsageError
from blackbox_conformal.method.audits.vendor_claim import ClaimAudit, ClaimedPhotograph, VendorClaim, Verdict
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.method.images.picture import pixels_digest
from blackbox_conformal.method.images.read import DEFAULT_LIMITS, read_image
from blackbox_conformal.support.blocks import Block, Table
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.support.files import write_new
from blackbox_conformal.support.text import counted, file_stem, printable

if TYPE_CHECKING:
    from blackbox_conformal.documents.signature import SigningKey

Digest = Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]
MANIFEST_FILE = "claim-manifest.json"
ANSWERS_FILE = "claim-answers.json"


class _Signed:
    """A paper's digest and signature."""

    __slots__ = ()

    signature: Signature | None

    @property
    def _store(self) -> StoredPaper[Any]:
        raise NotImplementedError

    @property
    def digest(self) -> str:
        """Return ``sha256:…`` of everything but the signature."""
        return self._store.digest(self)

    def to_json(self) -> str:
        return self._store.paper_text(self)

    def signed(self, key: "SigningKey") -> Self:
        """Return the same paper with a signature by `key`."""
        return replace(self, signature=self._store.signature(self, key))  # type: ignore[type-var]

    def vouching(self, trusted: Trusted = ()) -> Vouching:
        """Tell who signed the paper; `trusted` holds the public keys that the reader trusts."""
        return self._store.vouching(self, trusted)


@dataclass(frozen=True, slots=True)
class NamedInput:
    """The input ``NAME.png``: digests of its pixels and of the original's, which stays with the auditor."""

    name: str
    input: Digest
    truth: Digest


@dataclass(frozen=True, slots=True)
class ClaimManifest(_Signed):
    """A claim and the inputs that it is to be put to, in the order of the digests of their originals.

    `scale`, `degradation` and `seed` are how the inputs were made, as typed.
    """

    claim: str
    scale: Annotated[int, Field(ge=1, le=16)]
    degradation: str
    seed: int
    inputs: Annotated[tuple[NamedInput, ...], Field(min_length=1)]
    signature: Signature | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        VendorClaim.of(self.claim)
        Mixture.of_text(self.degradation)

    @property
    def _store(self) -> "StoredPaper[ClaimManifest]":
        return CLAIM_MANIFESTS

    @property
    def made(self) -> dict[str, Any]:
        """Return the settings that make the inputs again."""
        return {"degradation": self.degradation, **({"seed": self.seed} if self.seed else {})}

    def refuse_others(self, given: Mapping[str, str]) -> None:
        """Refuse photographs, digest → its input's digest, that are not exactly those of the manifest."""
        named = {one.truth: one for one in self.inputs}
        missing = [one.name for one in self.inputs if one.truth not in given]
        changed = [one.name for one in self.inputs if given.get(one.truth, one.input) != one.input]
        if missing or len(given) > len(named):
            what = (
                f"{len(missing)} of them missing, first {printable(missing[0])}" if missing else "there are others, too"
            )
            raise CheckFailedError(
                f"expected the {counted(len(named), 'photograph')} that the manifest names, and no other; {what}. Name "
                "the photographs of which `degrade --claim` made it"
            )
        if changed:
            raise CheckFailedError(
                f"expected the inputs that the manifest names; the photograph of {printable(changed[0])} gives another."
                f" Give -p scale={self.scale}, and the --degradation and --seed of the manifest or none"
            )

    def refuse_changed(self, folder: Path) -> None:
        """Refuse a folder whose inputs are not those of the manifest."""
        for one in self.inputs:
            path = folder / f"{file_stem(one.name)}.png"
            if not path.is_file():
                raise CheckFailedError(f"expected the input {path.name} beside it; there is none. Get the whole folder")
            if pixels_digest(read_image(path).pixels) != one.input:
                raise CheckFailedError(f"the input {path.name} is not the one that it names. Get the whole folder anew")


@dataclass(frozen=True, slots=True)
class NamedAnswer:
    """Digests of an input's pixels and of the bytes of the vendor's answer to it."""

    input: Digest
    answer: Digest


@dataclass(frozen=True, slots=True)
class ClaimAnswers(_Signed):
    """A vendor's answers to the inputs of the manifest with this digest, in the manifest's order.

    The vendor signs them before it sees a photograph, so neither side can exchange an answer afterwards.
    """

    manifest: Digest
    answers: Annotated[tuple[NamedAnswer, ...], Field(min_length=1)]
    signature: Signature | None = field(default=None, kw_only=True)

    @classmethod
    def of(cls, manifest: ClaimManifest, folder: Path) -> Self:
        """Read the answers ``NAME/0.png`` (or another ending) in a folder."""
        answers = []
        for one in manifest.inputs:
            place = folder / file_stem(one.name)
            files = sorted(path for path in place.glob("0.*") if path.is_file())
            if len(files) != 1:
                raise UsageError(
                    f"expected one answer {printable(place / '0.png')}; got {len(files)}. Put the answer to each input "
                    "there, and sign again"
                )
            if files[0].stat().st_size > DEFAULT_LIMITS.max_bytes:
                raise UsageError(
                    f"expected an answer of at most {DEFAULT_LIMITS.max_bytes} bytes; {printable(files[0])} is larger. "
                    "Put a smaller file there, and sign again"
                )
            answers.append(NamedAnswer(one.input, digest_bytes(files[0].read_bytes())))
        return cls(manifest.digest, tuple(answers))

    @property
    def _store(self) -> "StoredPaper[ClaimAnswers]":
        return CLAIM_ANSWERS

    def refuse_manifest(self, manifest: ClaimManifest) -> None:
        """Refuse another manifest than the one that these answer."""
        asked = [one.input for one in manifest.inputs]
        if self.manifest != manifest.digest or [one.input for one in self.answers] != asked:
            raise CheckFailedError(
                f"expected answers to the manifest {manifest.digest}; these answer {self.manifest}. Ask the vendor to "
                "sign its answers to yours"
            )

    def refuse_others(self, photographs: Iterable[ClaimedPhotograph]) -> None:
        """Refuse answers that are not the signed ones."""
        signed = {(one.input, one.answer) for one in self.answers}
        others = [one.name for one in photographs if (one.input, one.answer) not in signed]
        if others:
            raise CheckFailedError(
                f"expected the answers that the vendor signed; {counted(len(others), 'answer')} cannot be read or "
                f"differ, first to {printable(others[0])}. Get the whole folder from the vendor again"
            )


@dataclass(frozen=True, slots=True)
class ClaimPaper(_Signed):
    """What a test of a claim found; whoever reads it computes statement, verdict and interval again.

    `found`: ends of the interval, as `ClaimAudit.found`. `procedure`: vendor, scale and how inputs were made.
    `manifest`: digest of the manifest whose photographs these are, or None. `answered`: the vendor's signature on its
    `ClaimAnswers`, which these photographs repeat.
    """

    statement: str
    claim: str
    verdict: Verdict
    found: tuple[float, float]
    given: int
    manifest: Digest | None
    procedure: dict[str, Any]
    photographs: tuple[ClaimedPhotograph, ...]
    answered: Signature | None = field(default=None, kw_only=True)
    signature: Signature | None = field(default=None, kw_only=True)

    @classmethod
    def of(
        cls,
        audit: ClaimAudit,
        procedure: Procedure,
        manifest: ClaimManifest | None,
        answers: ClaimAnswers | None = None,
    ) -> Self:
        """Write down an audit."""
        about = procedure.model_dump(mode="json", include={"vendor", "scale", "degradation", "root_seed"})
        return cls(
            audit.statement,
            audit.claim.text,
            audit.verdict,
            audit.found,
            audit.given,
            None if manifest is None else manifest.digest,
            {**about, "fingerprint": procedure.fingerprint},
            audit.photographs,
            answered=None if answers is None else answers.signature,
        )

    def __post_init__(self) -> None:
        again, looked = self.audit, [one.truth for one in self.photographs]
        same = max(abs(one - other) for one, other in zip(self.found, again.found, strict=True)) < 1e-9
        if not same or (self.statement, self.verdict, self.claim) != (again.statement, again.verdict, again.claim.text):
            raise CheckFailedError(f"its verdict does not follow from its figures, which say: {again.statement}")
        if looked != sorted(set(looked)) or len(looked) > self.given:
            raise CheckFailedError("its photographs are not as many different ones as it says")

    @property
    def _store(self) -> "StoredPaper[ClaimPaper]":
        return CLAIM_PAPERS

    def vouching_for_answers(self, trusted: Trusted = ()) -> Vouching:
        """Tell who signed the answers: the vendor's signature must fit inputs, answers and manifest as they stand."""
        if self.answered is None:
            return Vouching(None)
        given = [(one.input, one.answer) for one in self.photographs]
        if self.manifest is None or any(answer is None for _, answer in given):
            raise CheckFailedError("it repeats a signature on answers, and lacks the manifest or an answer")
        pairs = tuple(NamedAnswer(sent, answer) for sent, answer in given if answer is not None)
        return ClaimAnswers(self.manifest, pairs, signature=self.answered).vouching(trusted)

    @property
    def audit(self) -> ClaimAudit:
        return ClaimAudit(VendorClaim.of(self.claim), self.photographs, self.given)

    def refuse_manifest(self, manifest: ClaimManifest) -> None:
        """Refuse a manifest with this paper's digest that names another claim or other photographs."""
        named = {one.truth: one.input for one in manifest.inputs}
        if VendorClaim.of(manifest.claim).text != self.claim or named != {o.truth: o.input for o in self.photographs}:
            raise CheckFailedError("it is about another claim or other photographs than the manifest that it names")

    def blocks(self) -> Iterator[Block]:
        """Yield the audit's blocks without the statement, which is the title of a page, and what was tested."""
        _, *blocks = self.audit.blocks()
        later = next(place for place, block in enumerate(blocks) if block.title)
        yield from blocks[:later]
        vendor = self.procedure["vendor"]
        parameters = ", ".join(f"{name}={value}" for name, value in vendor["parameters"].items() if value is not None)
        said = {
            "vendor": f"adapter {vendor['adapter']}, {parameters}",
            "inputs": f"the photographs, {self.procedure['scale']} times smaller by {self.procedure['degradation']}",
            "agreed before the test": f"manifest {self.manifest}" if self.manifest else "nothing: no manifest was made",
            "answers": self.vouching_for_answers().words(STRANGE) if self.answered else "not signed by the vendor",
            "document": f"{self.file_name}, {self.digest}",
            "to check it": f"blackbox-conformal verify {self.file_name}",
        }
        rows = [{"what": what, "says": says} for what, says in said.items()]
        yield Table("tested", {"what": "{what}", "says": "{says}"}, rows, title="What was tested")
        yield from blocks[later:]

    @property
    def file_name(self) -> str:
        """Return its name in a run folder: another finding has another, so that none takes an earlier one's place."""
        return f"claim-{self.claim.partition(':')[0]}-{self.digest.removeprefix('sha256:')[:12]}.json"

    def keep(self, folder: Path) -> Path:
        """Write the paper into a run folder; one that lies there stays, perhaps signed."""
        path = folder / self.file_name
        try:
            if CLAIM_PAPERS.read(path).digest == self.digest:
                return path
        except BlackboxConformalError:
            pass
        return write_new(path, self.to_json().encode(), force=True)


class _ClaimPapers(StoredPaper[ClaimPaper]):
    def _fields(self, document: ClaimPaper) -> dict[str, Any]:
        # Left out where there is none, as in documents from before vendors signed their answers.
        fields = super()._fields(document)
        return fields if document.answered is not None else {k: v for k, v in fields.items() if k != "answered"}


STRANGE = "whoever relies on it must know that this key is the vendor's"
"""What is said of a vendor's key that the reader has not named."""
_ANEW = "Make it anew: blackbox-conformal {} PHOTOGRAPHS --claim CLAIM"
CLAIM_MANIFESTS = StoredPaper(ClaimManifest, "claim manifest", 1, anew=_ANEW.format("degrade"))
CLAIM_ANSWERS = StoredPaper(
    ClaimAnswers,
    "claim answers",
    1,
    anew="Make it anew: blackbox-conformal sign claim-manifest.json --answers outputs --sign-with vendor.pem",
)
CLAIM_PAPERS = _ClaimPapers(ClaimPaper, "claim", 1, anew=_ANEW.format("audit"))
