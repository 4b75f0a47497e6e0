"""A request that the gateway does not serve, before anything is accepted or paid."""

from collections.abc import Mapping


class NotServedError(Exception):
    """What is wrong with a request, for the client; each dialect says it in its own form.

    Attributes
    ----------
    status
        HTTP status.
    message
        What was expected, what arrived, what to do.
    headers
        Beside those that every answer has.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
