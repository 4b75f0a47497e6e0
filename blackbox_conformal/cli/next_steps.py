"""What to type next, ready to paste."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blackbox_conformal.adapter import Adapter

_OPENERS = {"darwin": "open", "win32": "start"}


def next_command(*words: str) -> str:
    """The line that says what to type next."""
    return f"Next: {shlex.join(('blackbox-conformal', *words))}"


def with_calibration(command: str, pictures: str, path: Path, adapter: "Adapter", options: dict[str, Any]) -> list[str]:
    """A command on `pictures` for a calibration in `path`, with what that does not keep and a limit if draws cost."""
    price = adapter.capabilities.price
    free = adapter.capabilities.local or (price is not None and price.high_usd == 0)
    limit = [] if free else ["--max-calls", "100"] if price is None else ["--max-cost", "1"]
    named = ["--adapter", options["adapter"]] if ":" in (options["adapter"] or "") else []
    return [command, pictures, "--calibration", str(path), *named, *_not_kept(adapter, options), *limit]


def open_line(path: Path) -> str:
    """How to look at a file in a browser."""
    return f"{_OPENERS.get(sys.platform, 'xdg-open')} {shlex.quote(str(path))}"


def _not_kept(adapter: "Adapter", options: dict[str, Any]) -> list[str]:
    """The vendor parameters that were typed and that a calibration does not keep."""
    from blackbox_conformal.cli.session import vendor_parameters

    typed = vendor_parameters(options["parameters"])
    return [
        word
        for key, value in typed.items()
        if key in adapter.transient
        for word in ("-p", f"{key.replace('_', '-')}={value}")
    ]
