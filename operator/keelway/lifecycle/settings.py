"""What decisions need to know about the operator's own installation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class JobSettings:
    """Which image the programs inside Jobs run from."""

    worker_image: str
    worker_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
