"""Which fault meets which request: in order, always, by chance, or as a function decides."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from blackbox_conformal.testing.faults import Fault
from blackbox_conformal.testing.raw_http import Head

OK = Fault("ok")
Named = Fault | str | None


@dataclass(frozen=True, slots=True)
class Situation:
    """What a script may look at: the request's purpose, its number (from 0) among those of that purpose, its head."""

    purpose: str
    number: int
    head: Head


Script = Callable[[Situation], Named]
Plan = Mapping[str, str | Fault | Sequence[Named]]


def as_fault(named: Named) -> Fault:
    """The fault meant by a name, a fault, or nothing."""
    if named is None:
        return OK
    return named if isinstance(named, Fault) else Fault.parse(named)


def planned(plan: Plan) -> Script:
    """By purpose: one fault for all requests, or a list for the first requests in order (None: no fault)."""

    def choose(situation: Situation) -> Named:
        entry = plan.get(situation.purpose)
        if entry is None or isinstance(entry, str | Fault):
            return entry
        return entry[situation.number] if situation.number < len(entry) else None

    return choose


def chances(seed: int, shares: Mapping[str, Mapping[str, float]]) -> Script:
    """By purpose: each fault with its probability, drawn from the request's number, so that a run can be repeated."""

    def choose(situation: Situation) -> Named:
        point = random.Random(f"{seed}:{situation.purpose}:{situation.number}").random()
        for name, share in shares.get(situation.purpose, {}).items():
            if point < share:
                return name
            point -= share
        return None

    return choose


def as_script(script: Script | Plan | None) -> Script:
    """A script in any form as a function."""
    if script is None:
        return lambda situation: None
    return script if callable(script) else planned(script)
