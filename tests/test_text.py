"""Foreign names: nothing invisible is shown, nothing dangerous becomes a file."""

import unicodedata
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackbox_conformal.support.text import LONGEST_NAME, LONGEST_STEM, dollars, file_stem, printable

HOSTILE = [
    "a\x1b[31mred\x1b[0m",
    "line\nbreak\r\tand\x00nul",
    "\u202egnp.exe",
    "zero\u200bwidth\ufeffmark",
    "isolate\u2066x\u2069",
    "para\u2029graph",
    "lone\udcffsurrogate",
    "private\ue000use",
    "no-break\u00a0space",
    "bell\x07\x9b31m",
    "tag\U000e0041",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_characters_are_escaped(name: str) -> None:
    shown = printable(name)
    assert all(unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for letter in shown)
    assert "\\" in shown
    shown.encode("utf-8")


@pytest.mark.parametrize("name", ["photo.png", "Фото 1.jpg", "写真.webp", "café.tif", "a b-c_d.png", "../up.png"])
def test_ordinary_names_stay(name: str) -> None:
    assert printable(name) == name
    assert printable(Path(name)) == str(Path(name))


def test_escapes_name_the_character() -> None:
    assert printable("a\x1bb\u202ec\U000e0041") == "a\\x1bb\\u202ec\\U000e0041"


def test_long_names_keep_both_ends() -> None:
    shown = printable("begin" + "x" * 100_000 + "end.png")
    assert len(shown) == LONGEST_NAME
    assert shown.startswith("begin")
    assert shown.endswith("end.png")
    assert len(printable("\x1b" * 300)) == LONGEST_NAME


@given(st.text(max_size=300))
def test_whatever_is_shown_is_one_short_printable_line(name: str) -> None:
    shown = printable(name)
    assert len(shown) <= LONGEST_NAME
    assert shown.isprintable()


@pytest.mark.parametrize(
    "name", ["photo", "IMG_0001", "a b", "v1.2-final", "x" * LONGEST_STEM, "写真", "пейзаж 1", "été", "हिन्दी", "صورة ٢"]
)
def test_plain_stems_stay(name: str) -> None:
    assert file_stem(name) == name


DANGEROUS = [
    "..",
    "CON",
    "con.txt",
    "lpt1",
    "",
    ".hidden",
    "a/b",
    "a\\b",
    "-rf",
    "x" * 300,
    "写" * 70,
    "a.",
    "e\u0301",
    "a\u202eb",
    "a\u200bb",
    "\u2024\u2024",
    "a\uff0fb",
]


@pytest.mark.parametrize("name", DANGEROUS)
def test_dangerous_stems_become_safe(name: str) -> None:
    stem = file_stem(name)
    assert stem != name
    assert Path(stem).name == stem
    assert stem.lower().split(".")[0] not in ("con", "lpt1", "")
    assert stem[0] not in ".- "


@given(st.text(max_size=120), st.text(max_size=120))
def test_stems_are_safe_and_different_names_stay_different(one: str, other: str) -> None:
    stem = file_stem(one)
    assert stem.isprintable()
    assert stem == unicodedata.normalize("NFC", stem)
    assert 1 <= len(stem) <= LONGEST_STEM
    assert len(stem.encode()) <= 200
    assert not set(stem) & set('/\\:*?"<>|\n')
    assert stem[0] not in ".- "
    assert stem[-1] not in ".- "
    assert (stem == file_stem(other)) == (one == other)


@pytest.mark.parametrize(
    ("amount", "digits", "said"),
    [
        (Decimal(0), None, "$0.00"),
        (Decimal("0.0"), None, "$0.00"),
        (Decimal("1.2"), None, "$1.20"),
        (Decimal("0.0679"), None, "$0.0679"),
        (Decimal("5E-9"), None, "$0.000000005"),
        (Decimal("1E+2"), None, "$100.00"),
        ("0.40", None, "$0.40"),
        (0.125, 3, "$0.125"),
        (1 / 3, 3, "$0.333"),
        (12345.6, 3, "$12300.00"),
    ],
)
def test_money_has_two_decimals_at_least_and_loses_none(amount, digits, said) -> None:
    assert dollars(amount, digits) == said
