"""Write the comment on the pull request, or change the one that an earlier run wrote."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PAGE = 100
MOST_PAGES = 100


def asked(method: str, address: str, body: dict[str, str] | None = None) -> Any:
    """The answer of GitHub's API to one request."""
    headers = {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
        "Content-Type": "application/json",
    }
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, content, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def own_account() -> int:
    """The number of the token's account; REST's /user refuses tokens of apps, of which a workflow's is one."""
    answer = asked("POST", os.environ["GITHUB_GRAPHQL_URL"], {"query": "query { viewer { databaseId } }"})
    return int(answer["data"]["viewer"]["databaseId"])


def earlier(comments_of: str, marker: str) -> int | None:
    """The comment that begins with the marker and that this account wrote; anybody can write the marker."""
    account = own_account()
    for page in range(1, MOST_PAGES + 1):
        comments = asked("GET", f"{comments_of}?per_page={PAGE}&page={page}")
        for comment in comments:
            if (comment["body"] or "").startswith(marker) and (comment["user"] or {}).get("id") == account:
                return int(comment["id"])
        if len(comments) < PAGE:
            return None
    return None


def main() -> None:
    """A comment that cannot be written is a warning: the token of a fork's pull request may only read."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    issues = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/issues"
    comments_of = f"{issues}/{int(event['pull_request']['number'])}/comments"
    marker = f"<!-- {os.environ['NAME']} -->"
    try:
        text = (Path(os.environ["RESULTS"]) / "comment.md").read_text(encoding="utf-8")
        body = {"body": f"{marker}\n{text}"}
        found = earlier(comments_of, marker)
        if found is None:
            asked("POST", comments_of, body)
        else:
            asked("PATCH", f"{issues}/comments/{found}", body)
    except (OSError, ValueError, LookupError, TypeError) as error:
        print(f"::warning::no comment was written: {type(error).__name__} {getattr(error, 'code', '')}")


if __name__ == "__main__":
    main()
