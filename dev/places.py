"""Where the development tools keep their files. Two environment variables move them."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The repository."""

CACHE = Path(os.environ.get("KEELWAY_CACHE") or ROOT / ".cache").resolve()
"""What is slow to make and safe to delete: programs, images, packages. May be shared between clones."""

BIN = CACHE / "bin"
"""Programs built from Go modules."""


def state_folder() -> Path:
    """What a running cluster needs and `down` removes. Kept short: Unix socket paths end at 107 bytes."""
    if chosen := os.environ.get("KEELWAY_STATE"):
        return Path(chosen).resolve()
    return Path("/var/lib/keelway-dev") if os.geteuid() == 0 else Path.home() / ".local/state/keelway-dev"
