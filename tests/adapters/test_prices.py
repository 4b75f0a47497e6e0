"""Prices of five sizes of every priced adapter and model, against what its vendor publishes."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from support.flow_driver import built, modules

from blackbox_adapters._named_inputs import MODELS as REPLICATE
from blackbox_adapters.fal import MODELS as FAL
from blackbox_conformal.vendor.adapter import Adapter


class Row(NamedTuple):
    """What is bought, and (width, height) of an upload → the published price, in US dollars or (lowest, highest)."""

    parameters: dict[str, Any]
    prices: dict[tuple[int, int], str | tuple[str, str]]


SIZES = ((64, 48), (256, 256), (512, 512), (640, 480), (1000, 1000))
"""At four times: 0.05, 1.05, 4.19, 4.92 and 16 megapixels."""


def row(*prices: str | tuple[str, str], **parameters: Any) -> Row:
    """The prices of `SIZES`; one price is that of all."""
    each = prices * len(SIZES) if len(prices) == 1 else prices
    return Row({"scale": 4, **parameters}, dict(zip(SIZES, each, strict=True)))


def a_megapixel(usd: str) -> tuple[tuple[str, str], ...]:
    """A price by the megapixel, of which the vendor does not say whether a begun one counts as a whole."""
    sizes = ("0.049152", "1.048576", "4.194304", "4.9152", "16")
    whole = (1, 2, 5, 5, 16)
    return tuple(
        (str(Decimal(usd) * Decimal(size)), str(Decimal(usd) * most)) for size, most in zip(sizes, whole, strict=True)
    )


ROWS = {
    "bedrock": [row("0.03", mode="fast"), row("0.40", mode="conservative"), row("0.60", mode="creative")],
    "fal fal-ai/clarity-upscaler": [row(*a_megapixel("0.03"))],
    "fal fal-ai/flux-vision-upscaler": [row(*a_megapixel("0.1"))],
    "fal fal-ai/seedvr/upscale/image": [row(*a_megapixel("0.001"))],
    "fal fal-ai/drct-super-resolution": [row(*a_megapixel("0.0045"))],
    "fal clarityai/crystal-upscaler": [row(*a_megapixel("0.016"))],
    "fal fal-ai/topaz/upscale/image": [
        Row(
            {"scale": 2},
            {
                (64, 48): "0.08",
                (3000, 2000): "0.08",
                (4000, 3000): "0.16",
                (6000, 4000): "0.32",
                (12800, 10000): "1.36",
            },
        )
    ],
    "fal fal-ai/nafnet/denoise": [
        Row(
            {"scale": 1},
            {
                (256, 256): ("0.00147456", "0.0225"),
                (512, 512): ("0.00589824", "0.0225"),
                (640, 480): ("0.006912", "0.0225"),
                (1000, 1000): "0.0225",
                (2000, 2000): "0.09",
            },
        )
    ],
    "fal fal-ai/recraft/upscale/crisp": [row("0.004")],
    "fal fal-ai/recraft/upscale/creative": [row("0.25")],
    "fal fal-ai/ideogram/upscale": [row("0.06")],
    "flux": [row("0.04")],
    "gemini": [row(("0.067", "0.077"))],
    "leonardo": [Row({}, dict.fromkeys(SIZES, "0.0147"))],
    # A euro is 1.19 dollars; the steps of a picture of 4 megapixels work on 4, 16 and so on.
    "magnific": [
        row("0.34034", "0.34034", "0.34034", "0.34034", "0.68068", mode="creative"),
        Row({"scale": 2, "mode": "precision-v2"}, {(1000, 1000): "0.17017", (1000, 1300): "0.17017"}),
        Row(
            {"scale": 16, "mode": "precision-v2", "usd_per_eur": "1"},
            {(200, 200): "0.715", (512, 512): "2.431", (600, 600): "2.574"},
        ),
    ],
    "recraft": [row("0.004", mode="crisp"), row("0.25", mode="creative")],
    "replicate recraft-ai/recraft-crisp-upscale": [row("0.006")],
    "runware": [row(("0.0013", "0.0038"), model=f"runware:50{number}@1") for number in range(5)],
    "stability": [row("0.02", mode="fast"), row("0.40", mode="conservative"), row("0.60", mode="creative")],
    # Credits of the tables of the vendor's model pages, at 10 cents.
    "topaz": [
        Row(
            {"scale": 1, "model": "Standard V2"},
            {(4000, 2000): "0.1", (6000, 4000): "0.1", (7680, 4320): "0.2", (9504, 6336): "0.3", (11648, 8736): "0.5"},
        ),
        Row(
            {"scale": 1, "model": "Recovery V2"},
            {(2560, 1440): "0.1", (3840, 2160): "0.3", (6000, 4000): "0.6", (7680, 4320): "0.9", (9504, 6336): "1.6"},
        ),
        Row({"scale": 2, "model": "Bloom 2"}, {(1500, 1000): "0.3", (3000, 2000): "1.2"}),
        row("0.1", "0.1", "0.3", "0.3", "0.8", model="Bloom"),
        row("0.1", "0.1", "0.1", "0.1", "0.2", model="Wonder 4"),
        row("0.1", "0.1", ("0.1", "0.2"), ("0.1", "0.2"), ("0.2", "0.4"), model="Standard MAX"),
        row("0.1", "0.1", ("0.1", "0.3"), ("0.1", "0.3"), ("0.1", "0.8"), model="Reimagine"),
        row("0.08", "0.08", "0.24", "0.24", "0.64", model="Bloom", usd_per_credit="0.08"),
    ],
}


def priced() -> Iterator[str]:
    """What has a price that is not nothing: adapters, and models where the adapter has a table of them."""
    for module in modules():
        price = built(module).capabilities.price
        if module not in ("fal", "replicate") and price is not None and price.high_usd:
            yield module
    for module, models in (("fal", FAL), ("replicate", REPLICATE)):
        yield from (f"{module} {model}" for model, names in models.items() if names.price is not None)


def adapter_of(subject: str, parameters: dict[str, Any]) -> Adapter:
    module, _, model = subject.partition(" ")
    return built(module, **({"model": model} if model else {}), **parameters)


def test_every_priced_adapter_and_model_has_a_row():
    without = sorted(set(priced()) - ROWS.keys())
    assert not without, (
        f"give what the vendor publishes for five sizes in ROWS of this file: {', '.join(without)}; "
        f'"{without[0]}": [row("0.03")] is one price for every size'
    )
    assert ROWS.keys() == set(priced()), "take out of ROWS of this file what has no price"


@pytest.mark.parametrize("subject", ROWS)
def test_prices_are_those_that_the_vendor_publishes(subject):
    for parameters, prices in ROWS[subject]:
        adapter = adapter_of(subject, parameters)
        over_all = adapter.capabilities.price
        for (width, height), published in prices.items():
            low, high = (published, published) if isinstance(published, str) else published
            price = adapter.price_for(width, height)
            assert (price.low_usd, price.high_usd) == (Decimal(low), Decimal(high)), (parameters, width, height)
            assert over_all.low_usd <= price.low_usd <= price.high_usd <= over_all.high_usd
            assert price.source == over_all.source


@pytest.mark.parametrize("subject", ROWS)
def test_a_price_says_where_and_when_it_was_read(subject):
    for parameters, prices in ROWS[subject]:
        adapter = adapter_of(subject, parameters)
        for price in (adapter.capabilities.price, *(adapter.price_for(*size) for size in prices)):
            assert price.source
            assert price.read_on is not None


def test_a_price_that_is_given_is_that_of_every_size():
    adapter = built("topaz", price_usd="0.37")
    for size in SIZES:
        price = adapter.price_for(*size)
        assert (price.low_usd, price.high_usd, price.source) == (Decimal("0.37"), Decimal("0.37"), "given by the user")


def test_the_currency_is_named():
    price = built("magnific", scale=2, usd_per_eur="1.17").price_for(100, 100)
    assert (price.low, price.currency, price.low_usd) == (Decimal("0.143"), "EUR", Decimal("0.16731"))
