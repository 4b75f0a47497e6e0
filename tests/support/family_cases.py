"""What tests try of each member of a family, asked of the member itself: a new one is tested without a list here."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, get_args

import numpy as np
import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.method.kernels._jit import Kernel
from blackbox_conformal.support import catalog

NARROW_WINDOWS = [{"sigma": 0.8}, {"size": 3}]
WIDE_WINDOW = {"kernel": "gaussian", "sigma": 12.0}


def built_without_parameters(family: str) -> list[str]:
    """Names of the members that need no parameter: all but those that a user completes."""
    members = {name: catalog.member(family, name).model_fields for name in catalog.names(family)}
    return [name for name, fields in members.items() if not any(field.is_required() for field in fields.values())]


@contextmanager
def interpreted_kernels() -> Iterator[None]:
    """For tests that are told apart while they are collected: nothing is compiled or loaded for a few pixels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kernel, "__call__", lambda kernel, *given, **named: kernel.function(*given, **named))
        yield


@cache
def metrics_of_pictures_alone() -> list[str]:
    """Names of the metrics that two pictures are enough for; a person's or a program's judgement is left out."""
    flat = np.zeros((2, 3, 3), np.uint8)
    names = []
    with interpreted_kernels():
        for name in built_without_parameters("metrics"):
            with suppress(UsageError):
                catalog.load("metrics", name).map(flat, flat)
                names.append(name)
    return names


def is_windowed(family: str, name: str) -> bool:
    """Whether the member averages over a Gaussian or a box."""
    return {"kernel", "sigma", "size"} <= catalog.member(family, name).model_fields.keys()


def has_difference_of_blurs(name: str) -> bool:
    """Whether the metric is a norm, which can be taken of averaged colours too."""
    order = catalog.member("metrics", name).model_fields.get("order")
    return order is not None and "difference-of-blurs" in get_args(order.annotation)


def settings(family: str, name: str) -> list[dict[str, Any]]:
    """The usual parameters, each example of a parameter, windows, and each window of colours, where it has them."""
    fields = catalog.member(family, name).model_fields
    examples = [{field: example} for field in fields for example in fields[field].examples or ()]
    windows = [*NARROW_WINDOWS, WIDE_WINDOW] if is_windowed(family, name) else []
    order = {"order": "difference-of-blurs"}
    of_blurs = (
        [{**order, **window} for window in windows] if family == "metrics" and has_difference_of_blurs(name) else []
    )
    return [{}, *examples, *windows, *of_blurs]


def cases(family: str, names: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """Every setting of each of `names`."""
    return [(name, parameters) for name in names for parameters in settings(family, name)]
