"""Prices of recipes by scale, options and size, in other currencies and credits, and what is reserved for them."""

from decimal import Decimal

import pytest
from pydantic import ValidationError
from support.draws import an_upload, draw, tasks
from support.flow_driver import ADDRESS, built
from support.recording_server import RecordingServer

from blackbox_adapters.recipe import Recipe
from blackbox_conformal.drawing.task import Task
from blackbox_conformal.errors import BudgetError
from blackbox_conformal.testing.contract import check_adapter
from blackbox_conformal.testing.pictures import upscale
from blackbox_conformal.testing.raw_http import Head, Response
from blackbox_conformal.vendor.adapter import Price

PRICED = """
name = "priced"
title = "A vendor with a price list"
documentation = "https://priced.example/docs"
url = "https://api.priced.example"

[scale]
factors = [2, 4]
default = 4

[options]
model = "plain"

[limits]
max_output_pixels = 100_000_000

PRICE

[submit]
path = "/pictures"
body = true

[picture]
body = true

[reported]
cost = "header:x-credits-consumed"

[example]

[[example.answers]]
headers = { X-Credits-Consumed = "0.4" }
picture = true
"""

ROWS = """
[price]
source = "made up"
currency = "EUR"
usd_per_unit = "2"

[[price.rows]]
scale = 2
low = "0.04"

[[price.rows]]
options = { model = "fine" }
low = "0.5"
high = "0.7"

[[price.rows]]
up_to_megapixels = 24
low = "0.08"

[[price.rows]]
low = "0.05"
per_megapixels = 8
started = true
"""

CREDITS = """
[price]
source = "made up"
currency = "credits"

[[price.rows]]
low = "0.2"
high = "1"
per_megapixels = 1
"""


@pytest.fixture
def made(tmp_path):
    def make(price, url=ADDRESS, **parameters):
        path = tmp_path / "priced.toml"
        path.write_text(PRICED.replace("PRICE", price), encoding="utf-8")
        return Recipe(recipe=str(path), url=url, **parameters)

    return make


def usd(price: Price | None) -> tuple[Decimal, Decimal]:
    return price.low_usd, price.high_usd


@pytest.mark.parametrize(
    ("parameters", "side", "expected"),
    [({"scale": 2}, 100, "0.08"), ({}, 1000, "0.16"), ({}, 1500, "0.5"), ({}, 2000, "0.8")],
)
def test_the_first_row_about_a_draw_counts(made, parameters, side, expected):
    price = made(ROWS, **parameters).price_for(side, side)
    assert usd(price) == (Decimal(expected), Decimal(expected))
    assert (price.currency, price.usd_per_unit, price.source) == ("EUR", Decimal(2), "made up")


def test_options_choose_a_row_and_the_range_covers_all_sizes(made):
    assert usd(made(ROWS, options={"model": "fine"}).price_for(10, 10)) == (Decimal(1), Decimal("1.4"))
    assert usd(made(ROWS).capabilities.price) == (Decimal("0.16"), Decimal("1.3"))
    assert usd(made(ROWS, price_usd="0.3").price_for(10, 10)) == (Decimal("0.3"), Decimal("0.3"))


def test_credits_are_a_price_once_their_worth_is_known(made):
    assert made(CREDITS).price_for(500, 500) is None
    assert made(CREDITS).capabilities.price is None
    price = made(CREDITS, usd_per_unit="0.1").price_for(500, 400)
    assert usd(price) == (Decimal("0.064"), Decimal("0.4"))
    assert "a credit is 0.1 USD" in price.rule


def test_megapixels_of_the_input_count_where_the_recipe_says_so(made):
    price = CREDITS.replace('"credits"', '"USD"\nmegapixels = "input"').replace('"0.2"', '"1"')
    assert usd(made(price).price_for(2000, 1000)) == (Decimal(2), Decimal(2))


@pytest.mark.parametrize(
    ("price", "said"),
    [
        ('[price]\nsource = "x"', "price: expected either low and high, or rows"),
        (ROWS.replace("[price]", '[price]\nlow = "1"'), "price: expected either low and high, or rows"),
        (ROWS.replace('"EUR"', '"euros"'), "price.currency: expected the three capitals of a currency"),
        (ROWS.replace("per_megapixels = 8", 'per_megapixels = "1e-999999"'), "per_megapixels: expected a number"),
        (ROWS.replace('low = "0.5"', 'low = "Infinity"'), "price.rows.1.low"),
    ],
)
def test_a_wrong_price_is_named(made, price, said):
    with pytest.raises(ValidationError) as caught:
        made(price)
    assert said in str(caught.value)


@pytest.mark.parametrize("price", [ROWS, CREDITS])
def test_the_recipe_keeps_the_adapters_contract(made, price):
    results = check_adapter(Recipe, made(price).example_exchange())
    assert [result for result in results if not result.passed] == []


def billed(credit_count: str) -> RecordingServer:
    def answer(head: Head) -> Response:
        picture = upscale(server.asked[-1].body, 4, len(server.asked))
        return Response(200, {"Content-Type": "image/png", "X-Credits-Consumed": credit_count}, picture)

    server = RecordingServer(answer)
    return server


def test_the_sampler_books_the_credits_of_a_header(made, tmp_path):
    with billed("4") as server:
        drawn = draw(made(CREDITS, server.url, usd_per_unit="0.05"), tmp_path / "run", tasks(), concurrency=1)
        unknown = draw(made(CREDITS, server.url), tmp_path / "unknown", tasks(), concurrency=1)
    assert [outcome.cost_usd for outcome in drawn.outcomes] == [Decimal("0.20")]
    assert [outcome.state for outcome in unknown.outcomes] == ["stored"]
    assert unknown.outcomes[0].cost_usd in (None, 0)


def test_the_sampler_reserves_for_each_picture_what_its_size_costs(made, tmp_path):
    price = CREDITS.replace('"credits"', '"USD"').replace('low = "0.2"\nhigh = "1"', 'low = "1000"\nstarted = false')
    small, large = (Task(an_upload(number, width=side, height=10), 0, number) for number, side in ((1, 10), (2, 100)))
    with billed("1.6") as server:
        adapter = made(price, server.url)
        drawn = draw(adapter, tmp_path / "run", [small], concurrency=1, max_cost_usd=Decimal("1.6"))
        over = draw(adapter, tmp_path / "over", [large], concurrency=1, max_cost_usd=Decimal("15.9"))
        assert (drawn.error, drawn.states) == (None, ["stored"])
        assert isinstance(over.error, BudgetError)
        assert len(server.asked) == 1


def test_clipdrop_costs_by_output_megapixel_and_books_its_header():
    adapter = built("clipdrop", usd_per_unit="0.5")
    assert usd(adapter.price_for(512, 512)) == (Decimal("0.4194304"), Decimal("2.5"))
    assert built("clipdrop").capabilities.price is None
    assert adapter.capabilities.max_output_side == 4096
