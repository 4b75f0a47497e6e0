"""A claim on paper: the manifest that both sides agree on, the document with the verdict, its page, and `verify`."""

import json
import random
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image
from support.command_line import ended
from support.mutations import mutate, redigested
from support.restoring_vendor import RESTORING
from support.synthetic import photograph, write_draws, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.cli.main import run
from blackbox_conformal.cli.sign import read_paper
from blackbox_conformal.documents.claim import CLAIM_PAPERS
from blackbox_conformal.errors import BlackboxConformalError
from blackbox_conformal.method.images.picture import pixels_digest
from blackbox_conformal.support.canonical import digest_bytes
from blackbox_conformal.testing.fault_server import FaultServer

CLAIM = "invented:at_most=0.02"
PHOTOGRAPHS = range(40)


@pytest.fixture(scope="module")
def agreed(tmp_path_factory):
    """A folder where the auditor's inputs and manifest lie, and the answers of a vendor that invents much."""
    folder = tmp_path_factory.mktemp("agreed")
    write_photographs(folder / "photographs", PHOTOGRAPHS)
    assert run(["degrade", str(folder / "photographs"), "--out", str(folder / "inputs"), "--claim", CLAIM, "-q"]) == 0
    write_draws(folder / "outputs", PHOTOGRAPHS, 1)
    return folder


def audited(folder, claim="", *more, photographs=None):
    given = str(photographs or folder / "photographs")
    vendor = ["--adapter", "folder", "-p", f"path={folder / 'outputs'}", "-p", "label=made up"]
    said = claim or str(folder / "inputs" / "claim-manifest.json")
    return ["audit", given, *vendor, "--claim", said, "--run", str(folder / "run"), "--json", *more]


@pytest.fixture(scope="module")
def paper(agreed):
    assert run(audited(agreed, "", "-q")) == 3
    (path,) = (agreed / "run").glob("claim-*.json")
    return path


def test_both_sides_agree_on_inputs_and_the_verdict_is_on_paper(agreed, paper, tmp_path, capsys):
    manifest = agreed / "inputs" / "claim-manifest.json"
    said = ended(capsys, ["verify", str(manifest)]).out
    assert "its 40 inputs lie beside it, unchanged" in said
    content = json.loads(manifest.read_text())
    truths = {one["name"]: one["truth"] for one in content["inputs"]}
    assert truths == {f"p{seed}": pixels_digest(photograph(seed)) for seed in PHOTOGRAPHS}
    assert ".jpg" not in manifest.read_text()
    assert "photographs" not in {path.name for path in manifest.parent.iterdir()}
    out = ended(capsys, audited(agreed), 3)
    found = json.loads(out.out)
    assert out.err.splitlines()[-1].startswith("error: the vendor's claim is contradicted by 40 photographs")
    low, high = (100 * end for end in found["interval"])
    assert 2 < low < high
    assert found["statement"].startswith("Invented detail: claimed at most 2 %, found ")
    assert found["statement"].endswith(" % on average, contradicted")
    assert found["document"] == str(paper.resolve()), "the same finding is the same file"
    kept = json.loads(paper.read_text())
    assert list(kept)[:3] == ["format", "version", "statement"]
    assert (kept["statement"], kept["manifest"]) == (found["statement"], content["digest"])
    assert {one["name"]: one["truth"] for one in kept["photographs"]} == truths
    answers = {one["name"]: one["answer"] for one in kept["photographs"]}
    assert answers["p7"] == digest_bytes((agreed / "outputs" / "p7" / "0.png").read_bytes())
    assert ended(capsys, ["verify", found["page"]]).out.count(kept["digest"]) == 1
    page = Path(found["page"]).read_text()
    assert f"<h1>{found['statement']}</h1>" in page
    assert content["digest"] in page
    assert "http" not in page.replace("http-equiv", "")
    changed = tmp_path / "claim.html"
    changed.write_text(page.replace("contradicted", "supported"))
    assert "this page was changed" in ended(capsys, ["verify", str(changed)], 3).out


def test_verify_computes_the_verdict_again_and_compares_the_manifest(agreed, paper, tmp_path, capsys):
    manifest = str(agreed / "inputs" / "claim-manifest.json")
    alone = ended(capsys, ["verify", str(paper)]).out
    assert "that it keeps to the manifest sha256:" in alone
    assert "Next" not in alone
    both = ended(capsys, ["verify", str(paper), manifest, "--json"])
    assert "it is about the claim and all photographs of the manifest" in both.err
    assert [one["outcome"] for one in json.loads(both.out)] == ["undamaged", "undamaged"]
    shutil.copytree(agreed / "inputs", tmp_path / "inputs")
    other = tmp_path / "inputs" / "claim-manifest.json"
    other.write_text(redigested(json.loads(other.read_text()) | {"claim": "invented:at_most=0.5"}))
    assert "it names another manifest" in ended(capsys, ["verify", str(paper), str(other)], 3).out
    bent = tmp_path / "bent.json"
    digest = json.loads(other.read_text())["digest"]
    bent.write_text(redigested(json.loads(paper.read_text()) | {"manifest": digest}))
    assert "about another claim or other photographs" in ended(capsys, ["verify", str(bent), str(other)], 3).out


def edits():
    def verdict(content):
        content["verdict"] = "supported"

    def statement(content):
        content["statement"] = content["statement"].replace("contradicted", "supported")

    def figures(content):
        for one in content["photographs"]:
            one["measured"]["vendor"]["invented"] = 0.0

    def claim(content):
        content["claim"] = "invented:at_most=0.9"

    def fewer(content):
        content["photographs"] = content["photographs"][::2]

    def twice(content):
        content["photographs"][1]["truth"] = content["photographs"][0]["truth"]

    return [verdict, statement, figures, claim, fewer, twice]


@pytest.mark.parametrize("edit", edits(), ids=lambda edit: edit.__name__)
def test_a_changed_document_is_refused_even_with_a_digest_made_anew(paper, tmp_path, capsys, edit):
    content = json.loads(paper.read_text())
    edit(content)
    changed = tmp_path / paper.name
    changed.write_text(json.dumps(content))
    assert "its digest does not match" in ended(capsys, ["verify", str(changed)], 3).out
    changed.write_text(redigested(content))
    said = ended(capsys, ["verify", str(changed)], 3).out
    assert "does not follow from its figures" in said or "not as many different ones" in said


def test_a_changed_manifest_or_input_is_refused_in_one_sentence(agreed, tmp_path, capsys):
    copied = Path(shutil.copytree(agreed, tmp_path / "copy", ignore=shutil.ignore_patterns("run")))
    picture, manifest = copied / "inputs" / "p3.png", copied / "inputs" / "claim-manifest.json"
    pixels = Image.open(picture).rotate(180)
    pixels.save(picture)
    assert "the input p3.png is not the one that it names" in ended(capsys, ["verify", str(manifest)], 3).out
    picture.unlink()
    assert "expected the input p3.png beside it" in ended(capsys, ["verify", str(manifest)], 3).out
    honest = manifest.read_text()
    manifest.write_text(honest.replace("at_most=0.02", "at_most=0.03"))
    refused = ended(capsys, audited(copied), 2).err
    assert "its digest does not match" in refused
    assert len(refused.splitlines()) == 1
    content = json.loads(honest)
    content["inputs"][0]["input"] = content["inputs"][1]["input"]
    manifest.write_text(redigested(content))
    refused = ended(capsys, audited(copied), 3).err
    assert "gives another. Give -p scale=4" in refused
    assert not list(copied.glob("run/claim-*"))


def test_nobody_chooses_among_the_photographs_of_a_manifest(agreed, tmp_path, capsys):
    some = tmp_path / "some"
    write_photographs(some, range(39))
    assert "1 of them missing, first p39" in ended(capsys, audited(agreed, photographs=some), 3).err
    write_photographs(some, range(41))
    assert "there are others, too" in ended(capsys, audited(agreed, photographs=some), 3).err
    assert "gives another" in ended(capsys, audited(agreed, "", "--degradation", "area"), 3).err
    promise = "restored:at_least=0.9"
    bc.degrade(agreed / "photographs", tmp_path / "inputs", claim=promise)
    with FaultServer() as server:
        vendor = bc.load_adapter(RESTORING, url=server.url, scale=4)
        for claim, looked in ((promise, range(1, 40)), (str(tmp_path / "inputs" / "claim-manifest.json"), (40,))):
            run_folder = tmp_path / f"run{looked[0]}"
            found = bc.audit_claim(vendor, agreed / "photographs", claim, run=run_folder, max_cost=1)
            assert found.verdict == "contradicted"
            assert found.looked in looked
            assert found.file.parent == run_folder
            assert ended(capsys, ["verify", str(found.file), str(found.page), "--json"]).out.count('"undamaged"') == 2


def test_inputs_are_made_again_as_the_manifest_says(agreed, tmp_path, capsys):
    given = [str(agreed / "photographs"), "--out", str(tmp_path / "inputs"), "--claim", CLAIM, "-q"]
    assert run(["degrade", *given, "--degradation", "area:4+noise:3+jpeg:60-95", "--seed", "5"]) == 0
    shutil.copytree(agreed / "outputs", tmp_path / "outputs")
    told = ended(capsys, audited(tmp_path, photographs=agreed / "photographs"), 3)
    assert json.loads(told.out)["verdict"] == "contradicted"


def test_a_signature_stays_and_another_finding_has_another_file(agreed, paper, tmp_path, capsys):
    copied = Path(shutil.copytree(agreed, tmp_path / "copy"))
    assert run(["key", "new", str(tmp_path / "lab.pem"), "--name", "Lab", "-q"]) == 0
    key = bc.SigningKey.load(tmp_path / "lab.pem").key
    signed = copied / "run" / paper.name
    both = [str(signed), str(copied / "inputs" / "claim-manifest.json")]
    assert run(["sign", *both, "--sign-with", str(tmp_path / "lab.pem"), "-q"]) == 0
    written = signed.read_bytes()
    found = json.loads(ended(capsys, ["verify", *both, "--trust", key, "--json"]).out)
    assert [one["verified"] for one in found] == [True, True]
    assert ended(capsys, ["verify", str(signed)], 7).out.startswith(f"{signed}: signed by a stranger")
    ended(capsys, audited(copied), 3)
    assert signed.read_bytes() == written
    ended(capsys, audited(copied, "invented:at_most=0.03"), 3)
    assert len(list((copied / "run").glob("claim-*.json"))) == 2
    assert signed.read_bytes() == written
    signed.write_bytes(written.replace(b'"given": 40', b'"given": 41'))
    assert run(["sign", str(signed), "--sign-with", str(tmp_path / "lab.pem")]) == 2


@pytest.fixture(scope="module")
def answered(agreed, tmp_path_factory):
    """The same folder, where the vendor has signed its answers; `other.pem` is a stranger's key."""
    folder = Path(shutil.copytree(agreed, tmp_path_factory.mktemp("answered") / "copy"))
    shutil.rmtree(folder / "run", ignore_errors=True)
    for name in ("vendor", "other"):
        assert run(["key", "new", str(folder / f"{name}.pem"), "--name", name, "-q"]) == 0
    assert run(signing(folder)) == 0
    return folder


def signing(folder, name="vendor", *more):
    manifest, outputs = str(folder / "inputs" / "claim-manifest.json"), str(folder / "outputs")
    return ["sign", manifest, "--answers", outputs, "--sign-with", str(folder / f"{name}.pem"), "-q", *more]


def key_of(folder, name="vendor"):
    return bc.SigningKey.load(folder / f"{name}.pem").key


def judged(folder, *more):
    return audited(folder, "", "--answers", str(folder / "outputs" / "claim-answers.json"), *more)


def copy_of(folder, place):
    return Path(shutil.copytree(folder, place / "copy", ignore=shutil.ignore_patterns("run")))


def test_a_vendor_signs_its_answers_and_the_document_repeats_it(answered, tmp_path, capsys):
    folder = copy_of(answered, tmp_path)
    file = json.loads((folder / "outputs" / "claim-answers.json").read_text())
    signed = {one["answer"] for one in file["answers"]}
    assert signed == {digest_bytes((folder / "outputs" / f"p{n}" / "0.png").read_bytes()) for n in PHOTOGRAPHS}
    assert (
        "40 answers to the manifest sha256:"
        in ended(capsys, ["verify", str(folder / "outputs" / "claim-answers.json"), "--trust", key_of(folder)]).out
    )
    found = json.loads(ended(capsys, judged(folder, "--trust", key_of(folder)), 3).out)
    document = Path(found["document"])
    assert json.loads(document.read_text())["answered"] == file["signature"]
    assert key_of(folder) in document.with_suffix(".html").read_text()
    said = ended(capsys, ["verify", str(document)]).out
    assert f"its answers: signed by {key_of(folder)}" in said
    assert "must know that this key is the vendor's" in said
    assert ended(capsys, signing(folder, "other"), 2).err.count("claim-answers.json") == 1
    python = bc.audit_claim(
        bc.load_adapter("folder", path=str(folder / "outputs"), label="made up"),
        folder / "photographs",
        str(folder / "inputs" / "claim-manifest.json"),
        answers=folder / "outputs" / "claim-answers.json",
        trust=[key_of(folder)],
        run=tmp_path / "again",
    )
    assert python.file.read_bytes() == document.read_bytes()


def test_whoever_exchanges_an_answer_a_truth_or_the_list_is_found_out(answered, tmp_path, capsys):
    folder = copy_of(answered, tmp_path)
    better = Image.open(folder / "outputs" / "p3" / "0.png").copy()
    better.putpixel((0, 0), (1, 2, 3))
    better.save(folder / "outputs" / "p3" / "0.png")
    said = ended(capsys, judged(folder), 3).err
    assert "1 answer cannot be read or differ, first to p3" in said
    assert not list(folder.glob("run/claim-*"))
    shutil.copy(answered / "outputs" / "p3" / "0.png", folder / "outputs" / "p3" / "0.png")
    found = json.loads(ended(capsys, judged(folder), 3).out)
    document, bent = Path(found["document"]), tmp_path / "bent.json"
    for change in ({"answer": "sha256:" + "0" * 64}, {"input": "sha256:" + "0" * 64}, {"answer": None}):
        content = json.loads(document.read_text())
        content["photographs"][0] |= change
        bent.write_text(redigested(content))
        told = ended(capsys, ["verify", str(bent)], 3).out
        assert "its signature is broken" in told or "lacks the manifest or an answer" in told
    content = json.loads(document.read_text())
    content["photographs"][0]["truth"] = "sha256:" + "0" * 64
    bent.write_text(redigested(content))
    both = ["verify", str(bent), str(folder / "inputs" / "claim-manifest.json")]
    assert "not verified" in ended(capsys, both, 3).out
    write_photographs(folder / "photographs", [99])
    assert "there are others, too" in ended(capsys, judged(folder), 3).err
    for extra in (folder / "photographs").glob("p99.*"):
        extra.unlink()
    manifest = folder / "inputs" / "claim-manifest.json"
    manifest.write_text(redigested(json.loads(manifest.read_text()) | {"claim": "invented:at_most=0.5"}))
    assert "expected answers to the manifest" in ended(capsys, judged(folder), 3).err


def test_only_a_signature_by_the_vendor_counts(answered, tmp_path, capsys):
    folder = copy_of(answered, tmp_path)
    file = folder / "outputs" / "claim-answers.json"
    said = ended(capsys, judged(folder, "--trust", key_of(folder, "other")), 3).err
    assert "expected a signature by a key that you trust" in said
    content = json.loads(file.read_text())
    late = dict(content)
    del late["signature"]
    file.write_text(json.dumps(late))
    assert "expected a signature; it is not signed" in ended(capsys, judged(folder), 3).err
    content["signature"]["key"] = key_of(folder, "other")
    file.write_text(json.dumps(content))
    assert "its signature is broken" in ended(capsys, judged(folder), 3).err
    without = [*audited(folder, CLAIM), "--answers", str(file)]
    assert "--claim inputs/claim-manifest.json" in ended(capsys, without, 2).err
    shutil.rmtree(folder / "outputs" / "p3")
    assert "expected one answer" in ended(capsys, signing(folder, "vendor", "--force"), 2).err


def test_hostile_papers_are_refused_with_the_one_error(agreed, answered, paper, tmp_path):
    generator = random.Random(0)
    shutil.copytree(agreed / "inputs", tmp_path / "inputs")
    places = [(paper, tmp_path / "paper.json"), (agreed / "inputs/claim-manifest.json", tmp_path / "inputs/m.json")]
    places.append((answered / "outputs/claim-answers.json", tmp_path / "answers.json"))
    for honest, place in places:
        content = json.loads(honest.read_text())
        for _ in range(150):
            place.write_text(redigested(mutate(content, generator)[0]), errors="surrogatepass")
            with suppress(BlackboxConformalError):
                read_paper(place)


def test_claims_of_each_kind_say_what_was_claimed_and_found():
    from blackbox_conformal.method.audits.detail_shares import PLAIN, VENDOR, DetailSums
    from blackbox_conformal.method.audits.vendor_claim import ClaimAudit, ClaimedPhotograph, VendorClaim

    sums = DetailSums(squares=1, values=3, missing=100, added=100, invented=10, detail=100, lacked=50)
    seen = tuple(ClaimedPhotograph(str(n), str(n), "", None, {VENDOR: sums, PLAIN: sums}) for n in range(200))
    said = {
        "invented:at_most=0.2": "Invented detail: claimed at most 20 %, found ",
        "restored:at_least=0.95": "Restored detail: claimed at least 95 %, found ",
        "invented:at_most=0.2,in=0.9": "Invented detail: claimed at most 20 % in 90 % of photographs, found in ",
    }
    for text, first in said.items():
        audit = ClaimAudit(VendorClaim.of(text), seen, 200)
        assert audit.statement.startswith(first)
        assert VendorClaim.of(audit.claim.text) == audit.claim
        assert audit.statement.endswith("contradicted" if "restored" in text else "supported")
        assert len(audit.statement.split()) <= 25


def test_the_first_screen_of_help_leads_to_claims(capsys):
    lines = [line for line in ended(capsys, ["--help"]).out.splitlines() if "claim" in line]
    assert any(line.split()[0] == "audit" for line in lines)
    assert "--claim" in ended(capsys, ["audit", "--help"]).out


def test_a_folder_is_needed_and_a_claim_is_read_before_anything_is_written(tmp_path):
    write_photographs(tmp_path / "photographs", range(2))
    with pytest.raises(BlackboxConformalError, match="give out='inputs'"):
        bc.degrade(tmp_path / "photographs", claim=CLAIM)
    command = ["degrade", str(tmp_path / "photographs"), "--out", str(tmp_path / "inputs"), "--claim", "perfect"]
    assert run(command) == 2
    assert not (tmp_path / "inputs").exists()


@pytest.mark.browser
def test_a_browser_shows_and_prints_the_page_in_silence(paper, chromium):
    from support.report_browser import opened

    statement = CLAIM_PAPERS.read(paper).statement
    for width in (390, 1280):
        with opened(chromium, paper.with_suffix(".html"), width=width) as page:
            assert page.locator("h1").inner_text() == statement
            assert page.evaluate("document.documentElement.scrollWidth") == width
            page.emulate_media(media="print")
            assert page.locator("h1").is_visible()
            assert page.pdf().startswith(b"%PDF")
