"""Names for whole chains."""

from typing import ClassVar

from pydantic import field_validator

from blackbox_conformal.method.degradations.degradation import Degradation


class Preset(Degradation):
    """A name that stands for a chain or a mixture; a calibration keeps the steps, not the name.

    Attributes
    ----------
    chain
        What it stands for.
    chance
        Always 1: the steps have chances of their own.
    """

    chain: ClassVar[str]

    @field_validator("chance")
    @classmethod
    def _always(cls, chance: float) -> float:
        if chance != 1:
            raise ValueError("expected no chance, since the name stands for several steps; leave it out")
        return chance

    @property
    def expansion(self) -> str:
        return self.chain
