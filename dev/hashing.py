"""Short digests that name content."""

import hashlib
from pathlib import Path


def hash_of(*parts: str | Path) -> str:
    """12 hexadecimal characters of the sha256 over texts and the bytes of files, each with its length before it."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return digest.hexdigest()[:12]
