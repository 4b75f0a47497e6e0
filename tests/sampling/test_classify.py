"""Which reading of a failed answer counts: the adapter's own, or the status."""

import pytest
from sampling.tiny_vendor import AtOnce

from blackbox_conformal.adapter import Answer, Purpose, Send
from blackbox_conformal.errors import JobError, MaybeSentError, NotFoundError, RefusedError, VendorError
from blackbox_conformal.sampling.wire.classify import GoneError, classify


class Knowing(AtOnce):
    """Reads every 404 in its own way."""

    def explain(self, answer: Answer, purpose: Purpose) -> VendorError | None:
        return MaybeSentError("no job yet") if purpose == "lookup" else RefusedError("no such model")


def read(adapter: AtOnce, purpose: Purpose) -> VendorError | None:
    return classify(adapter, Send("GET", f"{adapter.url}/x", purpose), Answer(404, {}, b""), 0.0)


@pytest.mark.parametrize(
    ("purpose", "own", "by_status"),
    [
        ("lookup", MaybeSentError, JobError),
        ("quote", RefusedError, JobError),
        ("poll", GoneError, GoneError),
        ("submit", RefusedError, NotFoundError),
    ],
)
def test_an_unknown_address(purpose: Purpose, own: type[VendorError], by_status: type[VendorError]) -> None:
    assert type(read(Knowing(url="http://127.0.0.1:1"), purpose)) is own
    assert type(read(AtOnce(url="http://127.0.0.1:1"), purpose)) is by_status
