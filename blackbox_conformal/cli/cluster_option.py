"""The cluster that `--cluster` names, while a command uses it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blackbox_conformal.study.stages.cluster import Cluster


@contextmanager
def cluster_of(place: str | None, memory: int | None) -> "Iterator[Cluster | None]":
    """The cluster that `--cluster` names, open for the ``with`` block; None where it names none."""
    if place is None:
        yield None
        return
    from blackbox_conformal.study.stages.cluster import Cluster

    with Cluster(place, memory) as cluster:
        yield cluster
