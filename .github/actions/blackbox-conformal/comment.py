"""Write the comment on the pull request, or change the one that an earlier run wrote."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PAGE = 100
MOST_PAGES = 100


def asked(method: str, path: str, body: dict[str, str] | None = None) -> Any:
    """The answer of GitHub's API to one request about this repository."""
    address = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/{path}"
    headers = {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
        "Content-Type": "application/json",
    }
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, content, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def earlier(number: int, marker: str) -> int | None:
    """The comment that begins with the marker and that a workflow wrote; anybody else's is left alone."""
    for page in range(1, MOST_PAGES + 1):
        comments = asked("GET", f"issues/{number}/comments?per_page={PAGE}&page={page}")
        for comment in comments:
            if (comment["body"] or "").startswith(marker) and (comment["user"] or {}).get("type") == "Bot":
                return int(comment["id"])
        if len(comments) < PAGE:
            return None
    return None


def main() -> None:
    """A comment that cannot be written is a warning: the token of a fork's pull request may only read."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    number = int(event["pull_request"]["number"])
    marker = f"<!-- blackbox-conformal {os.environ['KEY']} -->"
    text = (Path(os.environ["RESULTS"]) / "comment.md").read_text(encoding="utf-8")
    body = {"body": f"{marker}\n{text}"}
    try:
        found = earlier(number, marker)
        if found is None:
            asked("POST", f"issues/{number}/comments", body)
        else:
            asked("PATCH", f"issues/comments/{found}", body)
    except (urllib.error.URLError, OSError) as error:
        print(f"::warning::no comment was written: {type(error).__name__} {getattr(error, 'code', '')}")


if __name__ == "__main__":
    main()
