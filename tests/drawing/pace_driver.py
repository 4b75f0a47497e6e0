"""Draws some pictures in a process of its own, once a line on stdin says so.

``FAULT_VENDOR_KEY=KEY python pace_driver.py URL RUN FIRST COUNT RATE`` says ``ready``, then the number of pauses
that it was told of.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.draws import limits, tasks

from blackbox_conformal.drawing.events import Event
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.vendor.rates import Rate


def main(url: str, run: str, first: str, count: str, rate: str) -> None:
    told: list[Event] = []
    adapter = SynchronousVendor(url=url, keyed=True)
    alone = limits(concurrency=1, rates=(Rate(int(float(rate)), 1.0),) if float(rate) else None, max_attempts=6)
    with Sampler(adapter, Path(run), alone, listener=told.append) as sampler:
        print("ready", flush=True)
        sys.stdin.readline()
        list(sampler.draw(tasks(int(first) + int(count))[int(first) :]))
    print(sum(event.kind == "throttled" for event in told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
