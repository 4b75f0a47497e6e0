"""Any other guarantee within the pictures that end at one vendor of a cascade, so that it holds in any outage."""

from typing import ClassVar

from blackbox_conformal.method.guarantees.by_group import ByGroup


class ByVendor(ByGroup):
    """Another guarantee, `of`, within the pictures that end at one vendor of a cascade, so that it holds in any outage.

    `ByGroup` by the last vendor that a picture goes on to, whoever's answer is then delivered.

    The picture and the answers before decide that vendor. So pictures that end at one vendor are exchangeable with each
    other, and stay so where pictures that end at another vendor have no mask.
    """

    kind: ClassVar[str] = "pictures that end at"
    fixed: ClassVar[str] = (
        "Which vendor of the cascade a picture ends at follows from its rule, and whether that vendor can be had does "
        "not depend on the picture."
    )


PLUGIN = ByVendor
