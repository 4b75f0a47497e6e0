"""Draws by a real sampler in a run folder: tasks, limits that end within seconds, and what came of the draws."""

import hashlib
import io
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from blackbox_conformal.drawing.ledger.attempts import AttemptSpec
from blackbox_conformal.drawing.ledger.backends import reading
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.task import Outcome, Task
from blackbox_conformal.errors import BlackboxConformalError
from blackbox_conformal.method.images.read import read_output
from blackbox_conformal.vendor.adapter import Adapter, Upload
from support import forked

SCALE = 4
FAST: dict[str, Any] = {"concurrency": 4, "attempt_timeout_s": 10.0, "connect_timeout_s": 10.0, "job_deadline_s": 20.0}
FAST |= {"max_attempts": 3, "max_retry_after_s": 3.0, "max_answer_bytes": 2_000_000}


def limits(**changes: Any) -> Limits:
    """Limits that let a test end within seconds."""
    return Limits(**{**FAST, **changes})


def an_upload(number: int = 0, width: int = 12, height: int = 10) -> Upload:
    """A small picture of its own for each `number`."""
    noise = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(noise).resize((4, 4)).resize((width, height), Image.Resampling.BICUBIC))
    out = io.BytesIO()
    Image.fromarray(smooth).save(out, "PNG")
    digest = "sha256:" + hashlib.sha256(smooth.tobytes()).hexdigest()
    return Upload(f"picture-{number}", digest, out.getvalue(), width, height)


def tasks(pictures: int = 1, draws: int = 1, **size: int) -> list[Task]:
    """`draws` draws of each of so many pictures."""
    uploads = [an_upload(number, **size) for number in range(pictures)]
    return [
        Task(upload, index, 1000 * number + index) for number, upload in enumerate(uploads) for index in range(draws)
    ]


def want(name: str = "t0", generation: int = 0) -> AttemptSpec:
    """An attempt that a ledger is to plan."""
    return AttemptSpec(name, generation, "identity", "tiny", "sha256:u", "p", 0, "key", 120)


def killed(url: str, run: Path, kind: str, point: str, number: int) -> None:
    """Draw four draws in a process that kills itself; see `drawing/crash_driver.py`."""
    driver = Path(__file__).parents[1] / "drawing" / "crash_driver.py"
    words = [sys.executable, str(driver), url, str(run), kind, point, str(number)]
    done = forked.run(words, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr


def at_once(call: Callable[[Any], Any], values: Iterable[Any]) -> list[Any]:
    """What a function gives for each of these values, called with all of them at the same time."""
    every = list(values)
    with ThreadPoolExecutor(len(every)) as pool:
        return list(pool.map(call, every))


def sent(ledger: Any, name: str = "t0", price_nanousd: int = 250_000_000) -> int:
    """Reserve the price of an attempt and send it; its number."""
    number: int = ledger.reserve(want(name), None, price_nanousd)
    ledger.sent(number)
    return number


def check(content: bytes, task: Task) -> None:
    """The decode gate and the size rule, as a run applies them."""
    read_output(content, (task.upload.height * SCALE, task.upload.width * SCALE))


@dataclass
class Drawn:
    """Outcomes as they came, the error at the end (None: none), and the bytes of what is stored."""

    outcomes: list[Outcome] = field(default_factory=list)
    error: BlackboxConformalError | None = None
    pictures: dict[tuple[str, int], bytes] = field(default_factory=dict)

    @property
    def states(self) -> list[str]:
        """States in the order of the tasks."""
        return [
            outcome.state
            for outcome in sorted(self.outcomes, key=lambda outcome: (outcome.task.upload.name, outcome.task.index))
        ]

    @property
    def ended(self) -> str:
        """The class of the error at the end, by its name."""
        return type(self.error).__name__ if self.error else ""

    @property
    def errors(self) -> list[BaseException | None]:
        """Errors of the outcomes, then the one at the end."""
        return [outcome.error for outcome in self.outcomes] + [self.error]

    @property
    def text(self) -> str:
        """Everything that was said."""
        return " | ".join(str(error) for error in self.errors if error is not None)


def draw(
    adapter: Adapter, run: Path, work: Sequence[Task], *, listener: Any = None, look: Any = check, **changes: Any
) -> Drawn:
    """Draw everything; errors at the end are kept, not raised."""
    drawn = Drawn()
    with Sampler(adapter, run, limits(**changes), check=look, listener=listener) as sampler:
        try:
            for outcome in sampler.draw(work):
                drawn.outcomes.append(outcome)
                if outcome.state == "stored":
                    drawn.pictures[outcome.task.upload.digest, outcome.task.index] = sampler.read(outcome)
        except BlackboxConformalError as error:
            drawn.error = error
    return drawn


@contextmanager
def ledger(run: Path) -> Iterator[Any]:
    """The run's ledger, read only."""
    with reading(run, whole=False) as connection:
        yield connection
