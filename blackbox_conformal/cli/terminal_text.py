"""The last step before anything reaches a terminal: no key, and no hidden character, whoever the text is from."""

import json
from typing import Any

from blackbox_conformal.secrets import redact
from blackbox_conformal.text import visible


def shown(text: str) -> str:
    """`text` fit for a terminal: no key, and no hidden character that could move the cursor or turn letters around."""
    return visible(redact(text))


def json_line(document: Any) -> str:
    """`document` as JSON on one line; hidden characters have JSON's own escapes, so that a terminal shows them."""
    text = json.dumps(document, ensure_ascii=False, default=str)
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text)
