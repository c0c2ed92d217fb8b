"""What was asked of the API server, by whom and when, from its audit log."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from dev.cluster import Cluster

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request that was answered."""

    user: str
    verb: str
    resource: str
    """Plural, with the subresource: `jobs`, `pods/binding`."""
    namespace: str
    name: str
    """Empty where the API server chose it."""
    code: int
    """HTTP status of the answer."""
    forbidden: bool
    """Whether the user lacks the right to ask this."""
    answered: datetime
    """Exact to a microsecond."""


def requests(cluster: Cluster, *, since: int, mention: str) -> list[Request]:
    """Requests in their order since a place in the audit log, of the lines that hold the text `mention`."""
    log = cluster.audit_log(skip=since)
    return list(_requests(line for line in log.decode(errors="replace").splitlines() if mention in line))


def _requests(lines: Iterator[str]) -> Iterator[Request]:
    for line in lines:
        event = json.loads(line)
        if event["stage"] != "ResponseComplete":
            continue
        about = event.get("objectRef", {})
        yield Request(
            user=event["user"]["username"],
            verb=event["verb"],
            resource="/".join(word for word in (about.get("resource", ""), about.get("subresource", "")) if word),
            namespace=about.get("namespace", ""),
            name=about.get("name", ""),
            code=event.get("responseStatus", {}).get("code", 0),
            forbidden=event.get("annotations", {}).get("authorization.k8s.io/decision", "allow") == "forbid",
            answered=datetime.fromisoformat(event["stageTimestamp"]),
        )
