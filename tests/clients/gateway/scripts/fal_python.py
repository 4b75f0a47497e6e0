"""What fal's Python client makes of a gateway, as JSON; its address comes by the client's own variables.

Arguments: a picture's file, and a file that is no picture.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import fal_client
from fal_client import client as of_client

APPLICATION = "any/blackbox-conformal"


def raised(call: Callable[[], Any]) -> dict[str, Any]:
    """The error of a call."""
    try:
        return {"none": call()}
    except fal_client.client.FalClientHTTPError as error:
        return {
            "class": type(error).__name__,
            "status": error.status_code,
            "message": error.message,
            "type": error.error_type,
        }


def submitted(**arguments: Any) -> Any:
    return fal_client.submit(APPLICATION, {"image_url": fal_client.encode_file(picture), **arguments})


picture, other = sys.argv[1:]
statuses: list[str] = []
subscribed = fal_client.subscribe(
    APPLICATION,
    {"image_url": fal_client.encode_file(picture), "scale": 4},
    with_logs=True,
    on_queue_update=lambda status: statuses.append(type(status).__name__),
)
handle = submitted()
done = handle.get()
last = handle.status(with_logs=True)

# Uploads have no variable of their own: their hosts are constants of the client.
of_client.REST_URL = f"https://{of_client.FAL_RUN_HOST.removesuffix('/run')}/rest"
link = fal_client.upload_file(picture, repository="fal")

print(
    json.dumps(
        {
            "run": fal_client.run(APPLICATION, {"image_url": fal_client.encode_file(picture)}),
            "subscribed": subscribed,
            "done": done,
            "of the file": fal_client.run(APPLICATION, {"image_url": link}),
            "statuses": statuses,
            "logs": last.logs,
            "metrics": last.metrics,
            "again": fal_client.result(APPLICATION, handle.request_id) == done,
            "cancelled too late": raised(handle.cancel),
            "unknown field": raised(lambda: submitted(face_enhance=True)),
            "no picture": raised(
                lambda: fal_client.subscribe(APPLICATION, {"image_url": fal_client.encode_file(other)})
            ),
            "strict": raised(
                lambda: fal_client.submit(
                    APPLICATION,
                    {"image_url": fal_client.encode_file(picture), "seedable": False},
                    headers={"Prefer": "handling=strict"},
                )
            ),
            "model": raised(lambda: fal_client.submit("fal-ai/esrgan", {"image_url": "data:image/png;base64,AAAA"})),
            "webhook": raised(
                lambda: fal_client.submit(APPLICATION, {"image_url": link}, webhook_url="https://example.com/")
            ),
        }
    )
)
