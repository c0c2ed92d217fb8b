"""What can go wrong between a decision and the cluster. A message never holds a header, a token or a request body."""

from __future__ import annotations


class ApiError(Exception):
    """The API server did not do what it was asked; `str()` is the server's own message."""

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        """Seconds that the server asked to wait for."""


class NotFoundError(ApiError):
    """404: the object, its namespace or its kind is not there."""


class AlreadyExistsError(ApiError):
    """409 on a create."""


class ConflictError(ApiError):
    """409: the object is not the one that the request was meant for."""


class GoneError(ApiError):
    """410: the asked resourceVersion or continue token is too old."""


class RefusedError(ApiError):
    """Another 4xx: sending the same again will not help until somebody changes something."""


class TooManyRequestsError(ApiError):
    """429: later, please."""


class UnavailableError(ApiError):
    """No usable answer: 401 of a token that is being rotated, 5xx, a timeout, a broken connection.
    The request may have taken effect."""


def name_of(error: Exception) -> str:
    """One word for metrics and logs."""
    return type(error).__name__.removesuffix("Error")


class NameConflictError(Exception):
    """An object of somebody else has the name that one of ours should get. It is never adopted."""
