"""A cascade's file and parameters: what is read, what is refused, and what identifies it."""

import json
from pathlib import Path

import pytest

import blackbox_conformal as bc
from blackbox_conformal.documents.procedure import vendor_title
from blackbox_conformal.errors import AdapterError, UsageError

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


def test_a_file_names_vendors_and_rules(tmp_path: Path) -> None:
    (tmp_path / "cascade.toml").write_text(TWO)
    adapter = bc.load_adapter("cascade", file=str(tmp_path / "cascade.toml"))
    assert [member.model_dump()["label"] for member in adapter.members] == ["cheap", "dear"]
    price = adapter.capabilities.price
    assert price is not None
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
        ({"file": "missing.toml"}, "expected a TOML file"),
    ],
)
def test_what_is_no_cascade_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        bc.load_adapter("cascade", **given)


def test_a_cascade_holds_no_cascade_and_judges_nothing_before_it_knows_how_inputs_are_made() -> None:
    two = bc.cascade(vendor("a"), vendor("b"), rules=[RULE])
    with pytest.raises(UsageError, match="no cascades themselves"):
        bc.cascade(two, vendor("c"), rules=[RULE])
    with pytest.raises(UsageError, match="how inputs are made"):
        two.figure(0, None, b"")  # type: ignore[attr-defined]
    with pytest.raises(AdapterError, match="one by one"):
        two.draw(None, None)  # type: ignore[arg-type]


def test_the_rule_and_its_number_identify_the_cascade() -> None:
    members = vendor("a"), vendor("b")
    identities = [bc.cascade(*members, rules=[rule]).identity() for rule in (RULE, {"at_most": 0.5}, RULE)]
    assert identities[0] == identities[2] != identities[1]
