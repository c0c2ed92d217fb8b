"""What a store's error means: a reason, and words that stay the same each time it happens.

obstore tells refusals apart by type; the rest is a GenericError, and the cause is looked for in its text. So it is with
the errors of HTTP clients, whose cause is in the text of an error further down their chain.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from keelway.api.jobs import FailureReason, Location
from keelway.worker.errors import WorkerError


class _Sign(NamedTuple):
    texts: tuple[str, ...]
    reason: FailureReason
    message: str


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
STORE_ERRORS = (BaseError, OSError, ValueError)
"""What obstore raises, and what reading and writing local files does."""
_SIGNS = (
    _Sign(
        (
            "instance metadata",
            "InstanceCredential",
            "/latest/api/token",
            "WebIdentity",
            "computeMetadata",
            "metadata.google.internal",
            "/metadata/identity/oauth2/token",
        ),
        "AccessDenied",
        "no credentials for {place}: name a Secret in access.secretRef, or a service account that has a role",
    ),
    _Sign(
        ("oauth2/token", "oauth2.googleapis.com", "oauth2/v2.0/token"),
        "AccessDenied",
        "the server that gives out tokens for {place} refuses or does not answer: check the credentials in the Secret",
    ),
    _Sign(
        ("<Code>EntityTooLarge", "RequestBodyTooLarge"),
        "ModelTooLarge",
        "{place} refuses objects of this size: write the model in smaller files",
    ),
    _Sign(
        ("<Code>QuotaExceeded", "507 Insufficient Storage", "XMinioStorageFull"),
        "OutOfSpace",
        "{place} is full: make room in the bucket",
    ),
    _Sign(
        tuple(f"os error {code})" for code in FULL),
        "OutOfSpace",
        "no space left on the volume of {place}: make room, or give it more",
    ),
    _Sign(
        ("os error 13)", "403 Forbidden", "401 Unauthorized", "<Code>XAdminUserNotFound", "PublicAccessNotPermitted"),
        "AccessDenied",
        "{place} denies access: check the credentials and what they allow",
    ),
    _Sign(
        ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist"),
        "SourceUnreachable",
        "the bucket of {place} does not exist at {server}: create it, or correct the URI",
    ),
    _Sign(
        ("BareRedirect", "PermanentRedirect", "redirect without LOCATION"),
        "SourceUnreachable",
        "the bucket of {place} is in another region: set access.region",
    ),
    _Sign(
        (f"(os error {errno.ENAMETOOLONG})",),
        "SourceInvalid",
        "a path below {place} is longer than a path can be: move its files up",
    ),
    _Sign(
        ("BadSegment", "EmptySegment", "InvalidPath"),
        "SourceInvalid",
        "a key below {place} is no path: rename the object",
    ),
    _Sign(
        ("dns error", "failed to lookup address", "Name or service not known", "name resolution", "No address assoc"),
        "SourceUnreachable",
        "the host name of {server} does not resolve: correct {address}, or see to the cluster's DNS",
    ),
    _Sign(
        ("ConnectionRefused", "Connection refused"),
        "SourceUnreachable",
        "{server} refuses connections: start the server, or correct {address}",
    ),
    _Sign(
        ("peer certificate", "UnknownIssuer", "InvalidCertificate", "CERTIFICATE_VERIFY_FAILED"),
        "SourceUnreachable",
        "the certificate of {server} is not trusted: use a certificate of a known authority",
    ),
    _Sign(
        ("InvalidContentType", "InvalidMessage", "tls handshake", "WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"),
        "SourceUnreachable",
        "{server} does not speak TLS: write http:// in {address}, or correct its port",
    ),
    _Sign(
        ("TimedOut", "timed out", "Timeout"),
        "SourceUnreachable",
        "{server} does not answer: start the server, or open the network path to it",
    ),
)


def storage_failure(error: Exception, location: Location, *, unreachable: FailureReason) -> WorkerError:
    """What an error of a store amounts to; `unreachable` is the reason when the store cannot be talked to."""
    if isinstance(error, OSError) and error.errno in FULL:
        return WorkerError("OutOfSpace", "no space left on the Job's own volume: give it more room")
    text = "\n".join(_texts(error))
    sign = next((sign for sign in _SIGNS if any(part in text for part in sign.texts)), None)
    sign = sign or _Sign((), "SourceUnreachable", "{server} does not answer as " + _expected(location))
    reason = unreachable if sign.reason == "SourceUnreachable" else sign.reason
    address = "the URI" if _is_web(location) else "access.endpoint"
    return WorkerError(reason, sign.message.format(place=place(location), server=_server(location), address=address))


def is_gone(error: Exception) -> bool:
    """Whether the store says that the object itself is absent or another one, not its bucket or our account."""
    if isinstance(error, FileNotFoundError):
        elsewhere = ("<Code>NoSuchBucket", "<Code>XAdminUserNotFound", "<Code>ContainerNotFound")
        return not any(code in str(error) for code in elsewhere)
    return isinstance(error, PreconditionError)


def place(location: Location) -> str:
    """How to name a location in a message; what follows `?` may be a signature, and is left out."""
    shown = location.uri.partition("?")[0] if _is_web(location) else location.uri
    return shown or location.mount


def _is_web(location: Location) -> bool:
    return location.uri.startswith(("http://", "https://"))


def _expected(location: Location) -> str:
    if _is_web(location):
        return "an HTTP server does"
    return "a hub does" if location.uri.startswith("hf://") else "an object store does"


def _server(location: Location) -> str:
    if location.mount:
        return "the volume"
    parts = urlsplit(location.uri if _is_web(location) else location.endpoint)
    if parts.netloc:
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return "the hub" if location.uri.startswith("hf://") else "the object store"


def _texts(error: Exception) -> Iterator[str]:
    """What to look for signs in, down the chain of causes."""
    seen: BaseException | None = error
    while seen is not None:
        yield _text(seen)
        if isinstance(seen, BaseExceptionGroup):
            yield from (_text(each) for each in seen.exceptions)
        seen = seen.__cause__ or seen.__context__


def _text(error: BaseException) -> str:
    """The words of an error; those of our own side are put into the words of the store's."""
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return "403 Forbidden"
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, InvalidPathError):
        return "InvalidPath"
    if isinstance(error, OSError) and error.errno:
        return f"{os.strerror(error.errno)}: {error.strerror} (os error {error.errno})"
    return f"{type(error).__name__}: {error}"
