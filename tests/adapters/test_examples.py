"""Every adapter's own example, replayed: what holds for all of them."""

import importlib
import itertools
import json
from decimal import Decimal

import pytest
from support.flow_driver import (
    ADDRESS,
    PICTURE,
    OutOfAnswersError,
    UnusedAnswersError,
    built,
    drive,
    example,
    modules,
    replay,
    seeded,
    upload,
)

from blackbox_conformal.drawing.spending.estimate import missing_key
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import AccountRefusedError, NotFoundError, RefusedError, TryLaterError, VendorError
from blackbox_conformal.support.secrets import Secret, masked
from blackbox_conformal.vendor.adapter import Adapter, Answer, Send


def shown(send: Send) -> str:
    """All that the vendor sees of a request, but for a signature that depends on the clock."""
    headers = {name: str(value) for name, value in send.headers.items() if name != "x-amz-date"}
    files = [(part.name, part.filename, part.content.hex()) for part in send.files]
    body = (send.body or b"").decode("latin-1")
    return json.dumps([send.method, send.url, headers, masked(send.json), masked(send.form), files, body])


@pytest.mark.parametrize("module", modules())
def test_the_example_ends_with_its_picture(module):
    exchange = replay(module)
    assert exchange.picture == PICTURE
    assert exchange.submit.url.startswith(ADDRESS)


@pytest.mark.parametrize("module", modules())
def test_a_price_that_is_given_is_the_price(module):
    adapter = built(module)
    if "price_usd" in type(adapter).model_fields:
        price = adapter.model_copy(update={"price_usd": Decimal("0.37")}).capabilities.price
        assert (price.low_usd, price.high_usd) == (Decimal("0.37"), Decimal("0.37"))


@pytest.mark.parametrize("module", modules())
def test_the_file_declares_what_the_contract_asks_for(module):
    kind, _ = example(module)
    adapter = built(module)
    capabilities = adapter.capabilities
    assert kind.name == module.replace("_", "-"), "name it as its file is called, with dashes"
    assert kind.documentation.startswith("https://"), "documentation: link the page that describes the interface"
    assert importlib.import_module(kind.__module__).__doc__
    assert capabilities.seedable == (capabilities.seed_range is not None)
    assert capabilities.scale_factors
    assert adapter.base_url == ADDRESS
    for name, field in kind.model_fields.items():
        assert field.description, f"{name} says nothing"
    if capabilities.price is not None:
        assert 0 <= capabilities.price.low_usd <= capabilities.price.high_usd
        assert capabilities.price.source


@pytest.mark.parametrize("module", modules())
def test_identity_holds_neither_address_nor_key(module):
    adapter = built(module)
    identity = json.dumps(adapter.identity())
    assert ADDRESS not in identity
    for secret in example(module)[1].environment.values():
        assert secret not in identity
    assert adapter.identity() == built(module).identity()


@pytest.mark.parametrize("module", modules())
def test_seeds_differ_between_draws_where_the_vendor_takes_one(module, monkeypatch):
    # Some vendors want the time in a request; the clock stands still, so that the seed alone can differ.
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
    first, again, second = replay(module), replay(module), replay(module, 1)
    assert shown(first.submit) == shown(again.submit)
    if built(module).capabilities.seedable:
        assert shown(first.submit) != shown(second.submit)


@pytest.mark.parametrize("module", modules())
def test_a_key_reaches_its_own_host_only_and_only_as_a_secret(module):
    keys = [value for value in example(module)[1].environment.values() if len(value) > 8]
    for send in replay(module).sends:
        secrets = [value.reveal() for value in send.headers.values() if isinstance(value, Secret)]
        assert send.url.startswith(ADDRESS) or not secrets
        for key in keys:
            assert key not in shown(send)


@pytest.mark.parametrize("module", [name for name in modules() if example(name)[1].polls is not None])
def test_an_accepted_job_is_resumed_without_a_second_submission(module):
    adapter = built(module)
    shown_example = example(module)[1]
    answers = shown_example.filled(PICTURE, ADDRESS)
    (job,) = replay(module).jobs
    exchange = drive(adapter, adapter.resume(upload(), seeded(adapter, 0), job), shown_example.of_resume(answers))
    assert (exchange.picture, [send for send in exchange.sends if send.purpose == "submit"]) == (PICTURE, [])


@pytest.mark.parametrize(
    "module",
    [name for name in modules() if example(name)[1].polls is None and example(name)[0].resume is Adapter.resume],
)
def test_an_adapter_without_jobs_says_so(module):
    adapter = built(module)
    with pytest.raises(VendorError, match="no jobs"):
        drive(adapter, adapter.resume(upload(), seeded(adapter, 0), "x"), ())


STATUSES = dict.fromkeys((401, 402, 403), AccountRefusedError)
STATUSES |= dict.fromkeys((404, 405, 410), NotFoundError) | {422: RefusedError, 429: TryLaterError}


@pytest.mark.parametrize("module", modules())
def test_statuses_are_classed(module):
    adapter = built(module)
    bodies = (b"", b"<html>", b"[]", b"null", b'"text"', b'{"error":{"message":"no"},"detail":"no"}')
    for (status, expected), body in itertools.product(STATUSES.items(), bodies):
        error = adapter.explain(Answer(status, {}, body), "submit")
        assert type(error) is expected, (status, body)
        assert str(status) in str(error), (status, body)


@pytest.mark.parametrize("module", modules())
def test_a_server_error_on_submit_is_left_to_the_sampler(module):
    assert built(module).explain(Answer(500, {}, b"oops"), "submit") is None
    assert built(module).explain(Answer(403, {}, b"<Error>Expired</Error>"), "download") is None


@pytest.mark.parametrize("module", modules())
def test_an_answer_of_nonsense_never_breaks_the_adapter(module):
    """It is a vendor error, a job that is polled again, or (where pictures come bare) the sampler's to decode."""
    adapter = built(module)
    for body in (b"{}", b"[]", b"null", b"<html>login</html>", b'{"id":null,"status":{}}'):
        answers = [Answer(200, {"content-type": "text/html"}, body)] * 8
        outcome = ""
        flow = adapter.draw(upload(), seeded(adapter, 0))
        try:
            drive(adapter, flow, answers)
        except (VendorError, OutOfAnswersError) as stopped:
            outcome = str(stopped)
        except UnusedAnswersError as finished:
            outcome = "bare picture" if finished.picture == body else "invented picture"
        assert outcome not in ("", "invented picture"), body


@pytest.mark.parametrize("module", [module for module in modules() if example(module)[1].environment])
def test_a_key_that_is_not_set_is_named_before_anything_is_sent(module, monkeypatch):
    wanted = example(module)[1].environment
    for name in wanted:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    adapter = built(module)
    trouble = missing_key(adapter, Task(upload(), 0, seeded(adapter).seed))
    assert trouble is not None
    assert any(name in str(trouble) for name in wanted)
    for name, value in wanted.items():
        monkeypatch.setenv(name, value)
    assert missing_key(adapter, Task(upload(), 0, seeded(adapter).seed)) is None


def as_typed(value: object) -> str:
    """A parameter's value as people type it."""
    return value if isinstance(value, str) else json.dumps(value)


@pytest.mark.parametrize("module", modules())
def test_every_parameter_can_be_typed(module):
    adapter = built(module)
    parameters = {name: value for name, value in adapter.model_dump(mode="json").items() if value is not None}
    typed = type(adapter)(**{name: as_typed(value) for name, value in parameters.items()})
    assert typed == adapter
