"""`--cluster`: which workers evaluate the pictures of a command."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from blackbox_conformal.cli.options import declared
from blackbox_conformal.errors import UsageError

if TYPE_CHECKING:
    from blackbox_conformal.pipeline.stages.cluster import Cluster


def cluster_place(text: str) -> str:
    """Where the workers of a cluster are."""
    from blackbox_conformal.pipeline.stages.cluster import checked_place

    try:
        return checked_place(text)
    except UsageError as error:
        raise click.BadParameter(str(error)) from None


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Who evaluates the pictures."""

    cluster: str | None = declared(
        "--cluster",
        type=cluster_place,
        metavar="local:N|ADDRESS",
        help="Evaluate pictures in N processes, or on the workers of a Dask scheduler such as tcp://host:8786; "
        "--memory is then what each worker may take.",
    )


@contextmanager
def cluster_of(place: str | None, memory: int | None) -> "Iterator[Cluster | None]":
    """The cluster that `--cluster` names, open for the ``with`` block; None where it names none."""
    if place is None:
        yield None
        return
    from blackbox_conformal.pipeline.stages.cluster import Cluster

    with Cluster(place, memory) as cluster:
        yield cluster
