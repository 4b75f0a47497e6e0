"""A cascade's file and parameters: what is read, what is refused, and what identifies it."""

import json
from decimal import Decimal

import pytest

import blackbox_conformal as bc
from blackbox_adapters.cascade import _spans
from blackbox_conformal.errors import AdapterError, UsageError
from blackbox_conformal.support.text import vendor_title
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.vendor.adapter import Price, Upload

RULE = {"at_most": 0.4}
TWO = """
[[vendors]]
adapter = "http"
parameters = { url = "http://127.0.0.1:9/a", label = "cheap", price_usd = "0.001" }
[[vendors]]
adapter = "http"
parameters = { url = "http://127.0.0.1:9/b", label = "dear", price_usd = "0.4" }
[[rules]]
below = 0.2
at_least = 0.6
passed_on = [12, 40]
"""


def vendor(name: str, scale: int = 4) -> bc.Adapter:
    return bc.from_function(name, lambda picture: picture, scale=scale)


@pytest.mark.parametrize(("more", "said"), [({"floor": "30"}, "expected floor in"), ({"flor": "30"}, "'flor'")])
def test_what_is_given_beside_a_file_is_not_ignored(tmp_path, more, said):
    (tmp_path / "cascade.toml").write_text(TWO)
    with pytest.raises(UsageError, match=said):
        bc.load_adapter("cascade", file=str(tmp_path / "cascade.toml"), **more)


@pytest.mark.parametrize("text", ["vendors = " + 4000 * "[" + 4000 * "]", TWO + 2**18 * "#"])
def test_a_file_that_is_too_deep_or_too_large_is_refused(tmp_path, text):
    (tmp_path / "cascade.toml").write_text(text)
    with pytest.raises(UsageError, match="expected a TOML file with vendors and rules"):
        bc.load_adapter("cascade", file=str(tmp_path / "cascade.toml"))


def test_a_file_names_vendors_and_rules(tmp_path):
    (tmp_path / "cascade.toml").write_text(TWO)
    adapter = bc.load_adapter("cascade", file=str(tmp_path / "cascade.toml"))
    assert [member.model_dump()["label"] for member in adapter.members] == ["cheap", "dear"]
    price = adapter.capabilities.price
    assert (str(price.low_usd), str(price.high_usd)) == ("0.001", "0.401")
    assert vendor_title(adapter.identity()) == "the cascade cheap → dear"
    # What a calibration keeps has no addresses; with them it is the same vendor.
    kept = json.loads(json.dumps(adapter.identity()))["parameters"]
    again = bc.load_adapter("cascade", file=str(tmp_path / "cascade.toml"), **kept)
    assert again.identity() == adapter.identity()
    with pytest.raises(UsageError, match=r"url is required.*-p file=cascade\.toml"):
        bc.load_adapter("cascade", **kept)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"vendors": (), "rules": ()}, r"two or more vendors.*-p file=cascade\.toml"),
        ({"vendors": (vendor("a"), vendor("b")), "rules": ()}, "a rule for each but the last"),
        (
            {"vendors": (vendor("a"), vendor("b")), "rules": ({},)},
            "at_most alone, at_least alone, or below and at_least",
        ),
        ({"vendors": (vendor("a"), vendor("b", 2)), "rules": (RULE,)}, "share a magnification"),
        ({"vendors": '[{"adapter": "os:system"}]', "rules": (RULE,)}, "name of an installed adapter"),
        ({"vendors": (vendor("a"), vendor("b")), "rules": ({**RULE, "tile": 8},)}, "a number of at least 16"),
        (
            {"vendors": (vendor("a"), vendor("b")), "rules": ({**RULE, "tile": 64, "passed_on": (1, 2)},)},
            "no passed_on",
        ),
        ({"vendors": (vendor("a"), vendor("b"), vendor("c")), "rules": ({**RULE, "tile": 64}, RULE)}, "two vendors"),
        ({"file": "missing.toml"}, "expected a TOML file"),
    ],
)
def test_what_is_no_cascade_is_refused(given, words):
    with pytest.raises(UsageError, match=words):
        bc.load_adapter("cascade", **given)


def test_a_cascade_holds_no_cascade_and_judges_nothing_before_it_knows_how_inputs_are_made():
    two = bc.cascade(vendor("a"), vendor("b"), rules=[RULE])
    with pytest.raises(UsageError, match="no cascades themselves"):
        bc.cascade(two, vendor("c"), rules=[RULE])
    with pytest.raises(UsageError, match="how inputs are made"):
        two.figure(0, Upload("p", "sha256:0", b"", 8, 8), b"")
    with pytest.raises(AdapterError, match="one by one"):
        two.draw(None, None)


def test_tile_and_margin_identify_the_cascade_and_a_rule_without_them_is_the_one_before():
    members = vendor("a"), vendor("b")
    rules = [{**RULE, **more} for more in ({}, {"tile": 64}, {"tile": 32}, {"tile": 64, "margin": 4})]
    identities = [bc.cascade(*members, rules=[rule]).identity() for rule in rules]
    assert len({json.dumps(identity) for identity in identities}) == 4
    assert "tile" not in identities[0]["parameters"]["rules"][0]


@pytest.mark.parametrize(("length", "tile", "margin", "least"), [(7, 16, 8, 1), (64, 64, 8, 1), (65, 64, 8, 1)])
@pytest.mark.parametrize("more", [0, 40, 1000])
def test_tiles_cover_a_side_once_and_are_sent_with_their_margin(length, tile, margin, least, more):
    length, least = length + more, least + more // 10
    spans = _spans(length, tile, margin, least)
    kept = [kept for _, kept in spans]
    assert [kept[0][0], *(high for _, high in kept)] == [*(low for low, _ in kept), length]
    assert all(0 < high - low <= tile for low, high in kept)
    for (begin, end), (low, high) in spans:
        assert 0 <= begin <= max(0, low - margin)
        assert min(length, high + margin) <= end <= length
        assert end - begin >= min(length, least)


class BySize(SynchronousVendor):  # A cent for 100 pixels
    name = "by-size"

    def price_for(self, width: int, height: int) -> Price:
        return Price(Decimal(width * height) / 10_000, Decimal(width * height) / 10_000, "by size")


def test_each_tile_has_the_price_of_its_size():
    rule = {**RULE, "tile": 20, "margin": 5}
    adapter = bc.cascade(SynchronousVendor(url="http://127.0.0.1:9"), BySize(url="http://127.0.0.1:9"), rules=[rule])
    price = adapter.price_for(20, 40)
    # Two tiles of 20 by 20, each sent with five pixels more on the one side that has any.
    assert (price.low_usd, price.high_usd) == (Decimal("0.01"), Decimal("0.01") + 2 * Decimal("0.05"))


def test_the_rule_and_its_number_identify_the_cascade():
    members = vendor("a"), vendor("b")
    identities = [bc.cascade(*members, rules=[rule]).identity() for rule in (RULE, {"at_most": 0.5}, RULE)]
    assert identities[0] == identities[2] != identities[1]
