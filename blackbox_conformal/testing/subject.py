"""An adapter with its example, as the checks look at it, and what a check finds."""

from dataclasses import dataclass

from blackbox_conformal.testing.rehearsal import (
    Rehearsal,
    a_draw,
    a_picture,
    an_upload,
    built,
    rehearse,
    rehearse_failure,
)
from blackbox_conformal.vendor.adapter import Adapter
from blackbox_conformal.vendor.example import Example

ADDRESS = "http://127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One promise of the contract, whether it is kept, and if not, what was expected and what was found."""

    name: str
    passed: bool
    detail: str = ""


class Subject:
    """An adapter class with its example: what the checks look at."""

    def __init__(self, kind: type[Adapter], example: Example) -> None:
        self.kind = kind
        self.example = example
        self.adapter = built(kind, example, ADDRESS)
        self.upload = an_upload(self.adapter)
        self.picture = a_picture(self.adapter, self.upload)
        self.answers = example.filled(self.picture, ADDRESS)

    def rehearse(self, index: int = 0, adapter: Adapter | None = None) -> Rehearsal:
        """The example, as draw `index`."""
        adapter = adapter or self.adapter
        return rehearse(adapter, adapter.draw(self.upload, a_draw(adapter, index)), self.answers)

    def rehearse_failure(self, number: int) -> Rehearsal:
        """A failure that the example shows, as draw 0; its error is in the result."""
        adapter, answers = self.adapter, self.example.failures[number]
        filled = self.example.filled(self.picture, ADDRESS, answers)
        return rehearse_failure(adapter, adapter.draw(self.upload, a_draw(adapter)), filled)
