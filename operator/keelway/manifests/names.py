"""Names and labels of children: stable, valid, and short enough for what Kubernetes derives from them."""

from __future__ import annotations

import re

from keelway.api.digests import digest, short

JOB_NAME_LIMIT = 52
"""A Job's pods and labels append to its name; 63 is the limit of both."""
INFERENCE_SERVICE_NAME_LIMIT = 43
"""KServe appends `-predictor`, and the Deployment's pods another 17 characters."""
LABEL_VALUE_LIMIT = 63


def child_name(parent: str, role: str, hash8: str, *, limit: int = JOB_NAME_LIMIT) -> str:
    """`<parent>-<role>-<hash8>`, the parent cut where the whole would be longer than `limit`."""
    tail = f"-{role}-{hash8}" if role else f"-{hash8}"
    return parent.replace(".", "-")[: limit - len(tail)].rstrip("-") + tail


def hash8(*parts: object) -> str:
    """The eight hexadecimal characters that tell children of one parent apart."""
    return digest(list(parts))[:8]


def label_value(name: str) -> str:
    """A name as a label's value: itself where it fits, else cut and hashed."""
    return name if len(name) <= LABEL_VALUE_LIMIT else f"{name[:50].rstrip('-.')}-{short(digest(name))}"


def variable(name: str) -> str:
    """A name as part of an environment variable: upper case, everything else an underscore."""
    return re.sub(r"[^A-Z0-9]", "_", name.upper())
