"""The decision about one ModelVersion: whether it serves, did, waits, or is about to go."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.api.model_version import ModelVersion
from keelway.api.reasons import Reason
from keelway.lifecycle.conditions import Standing, ready, status_after
from keelway.lifecycle.plan import Delete, Observed, Plan
from keelway.lifecycle.records.holders import held_by

EXPIRED = "Expired"
IDLE = {
    "Retired": "served before, and no ModelDeployment serves it now",
    "Rejected": "a ModelDeployment did not let it through, or rolled it back: its status.history says why",
    "Candidate": "has never served",
}


def reconcile(manifest: Manifest, seen: Observed, now: datetime) -> Plan:
    """What to do next for one ModelVersion. That it expires, its Experiment decides."""
    version = ModelVersion.model_validate(manifest)
    if version.metadata.deletion_timestamp:
        return Plan("leaving")
    if version.status.swept and not _is_maker_there(version, seen):
        return Plan("files are gone", deletes=(Delete.of(manifest),))
    after = status(version, seen, now, expired=_stays_expired(version, seen))
    return Plan(after["state"], status=after)


def _stays_expired(version: ModelVersion, seen: Observed) -> bool:
    if not version.has_expired:
        return False
    return version.status.swept or (_is_maker_there(version, seen) and not held_by(version, seen))


def _is_maker_there(version: ModelVersion, seen: Observed) -> bool:
    origin = version.spec.produced_by
    maker = seen.get(Key("Experiment", version.namespace, origin.experiment))
    return maker is not None and maker["metadata"]["uid"] == origin.uid


def status(
    version: ModelVersion, seen: Observed, now: datetime, *, expired: bool, swept: bool | None = None
) -> dict[str, Any]:
    """The whole status of a record that has expired, or has not."""
    serving, gone = tuple(_serving(version, seen)), version.status.swept if swept is None else swept
    state = EXPIRED if expired else _state(version, seen, serving)
    standing = _expired_standing(gone) if expired else _standing(state, serving)
    return status_after(
        version.status,
        standing,
        generation=version.metadata.generation,
        now=now,
        state=state,
        swept=gone,
        deployments=serving,
    )


def _serving(version: ModelVersion, seen: Observed) -> Iterator[str]:
    """Names of the ModelDeployments whose traffic goes to it."""
    for deployment in seen.about(version.key, "ModelDeployment"):
        live = deployment.get("status", {}).get("live") or {}
        if live.get("name") == version.name:
            yield deployment["metadata"]["name"]


def _state(version: ModelVersion, seen: Observed, serving: tuple[str, ...]) -> str:
    if serving:
        return "Live"
    outcomes = set(_outcomes(version, seen))
    if outcomes & {"Rejected", "RolledBack"}:
        return "Rejected"
    return "Retired" if version.status.state in ("Live", "Retired") or outcomes else "Candidate"


def _outcomes(version: ModelVersion, seen: Observed) -> Iterator[str]:
    """What became of it last, in every place that it was to serve in."""
    for deployment in seen.about(version.key, "ModelDeployment"):
        lines = deployment.get("status", {}).get("history", [])
        yield from [line["outcome"] for line in lines if line["name"] == version.name][:1]


def _standing(state: str, serving: tuple[str, ...]) -> Standing:
    if state == "Live":
        return ready(Reason.READY, f"serves in ModelDeployment {', '.join(serving)}")
    return ready(Reason.READY, IDLE[state])


def _expired_standing(swept: bool) -> Standing:
    if swept:
        return Standing(False, Reason.EXPIRED, "its files are being deleted; this record goes after them")
    message = "its Experiment keeps newer models and nothing uses this one: it goes soon, unless something names it"
    return Standing(False, Reason.EXPIRED, message)
