"""Who wrote what, from the API server's audit log."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
LEASES = "leases"


@dataclass(frozen=True)
class Write:
    """One request that asked for a change, whatever came of it."""

    user: str
    verb: str
    resource: str
    """Plural, with the subresource: `jobs`, `datasets/status`."""
    namespace: str
    name: str
    code: int

    def __str__(self) -> str:
        return f"{self.verb} {self.resource} {self.namespace}/{self.name} -> {self.code}"


class Audit:
    """The audit log of one API server."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def mark(self) -> int:
        """A place in the log: everything that was answered by now lies before it."""
        return self._log.stat().st_size

    def writes(self, user: str, *, since: int = 0, namespace: str = "") -> list[Write]:
        """Writes of a user after a mark; its Leases, which are renewed for ever, do not count."""
        found = (write for write in self._writes(since) if write.user == user)
        return [write for write in found if not namespace or write.namespace == namespace]

    def _writes(self, since: int) -> Iterator[Write]:
        with self._log.open("rb") as log:
            log.seek(since)
            for line in log:
                event = json.loads(line)
                reference = event.get("objectRef", {})
                if event["verb"] in WRITES and reference.get("resource") != LEASES:
                    yield _write(event, reference)


def _write(event: dict[str, object], reference: dict[str, str]) -> Write:
    user, status = event["user"], event.get("responseStatus", {})
    assert isinstance(user, dict)
    assert isinstance(status, dict)
    parts = (reference.get("resource", ""), reference.get("subresource", ""))
    return Write(
        user=user["username"],
        verb=str(event["verb"]),
        resource="/".join(part for part in parts if part),
        namespace=reference.get("namespace", ""),
        name=reference.get("name", ""),
        code=int(status.get("code", 0)),
    )
