"""What a user's table says of photographs by their names: the group of each, or the photograph it is a tile of."""

from collections.abc import Mapping, Sequence

from blackbox_conformal.errors import UsageError
from blackbox_conformal.images.names import printable

SHOWN = 3
"""How many names a message shows."""


def check_groups(groups: Mapping[str, str] | None, names: Sequence[str]) -> str | None:
    """What to say of photographs without a group; None when each has one, or no groups are given.

    Raises
    ------
    UsageError
        No photograph has a group, so the table is another one's.
    """
    without = [name for name in names if groups is not None and name not in groups]
    if groups is None or not without:
        return None
    if len(without) == len(names):
        raise UsageError(
            f"expected groups of these photographs, {_few(names)}; got groups of {_few(list(groups))}. Write one "
            "photograph,group line for each photograph, by the name of its file"
        )
    return (
        f"{len(without)} of {len(names)} photographs have no group: {_few(without)}; "
        "within a group they do not calibrate"
    )


def check_clusters(clusters: Mapping[str, str] | None, names: Sequence[str]) -> None:
    """Refuse tiles whose photograph is not named, since how many photographs there are is then unknown."""
    without = [name for name in names if clusters is not None and name not in clusters]
    if without:
        raise UsageError(
            f"expected the photograph of every calibration picture; {len(without)} of {len(names)} have none: "
            f"{_few(without)}. Write one tile,photograph line for each; a picture that is no tile is its own photograph"
        )


def _few(names: Sequence[str]) -> str:
    more = ", …" if len(names) > SHOWN else ""
    return ", ".join(map(printable, names[:SHOWN])) + more
