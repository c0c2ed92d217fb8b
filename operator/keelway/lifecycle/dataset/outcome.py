"""How a look at the data ends in the Dataset's status, and in that of the version it found."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from keelway.api.dataset import CurrentVersion, GoodVersion, Observation
from keelway.api.dataset_version import DatasetVersion
from keelway.api.digests import short
from keelway.api.durations import to_timestamp
from keelway.api.quantities import binary_quantity
from keelway.api.reasons import EventReason, Reason
from keelway.lifecycle.conditions import Fact, Standing, ready, stalled, status_after, working
from keelway.lifecycle.dataset import freshness, judgement
from keelway.lifecycle.dataset.failures import looked, needs_help
from keelway.lifecycle.dataset.judgement import VALIDATED, is_valid
from keelway.lifecycle.dataset.world import World
from keelway.lifecycle.dataset_inputs import Unresolved
from keelway.lifecycle.plan import Delete, Event, Plan, RecordStatus

MOVED, INPUTS = "SourceMoved", "InputsReady"


def status(world: World, standing: Standing, **changes: object) -> dict[str, Any]:
    """The whole status with this standing and these fields changed."""
    dataset = world.dataset
    generation = dataset.metadata.generation
    return status_after(dataset.status, standing, generation=generation, now=world.now, **changes)


# while somebody looks


def looking(world: World) -> dict[str, Any] | None:
    """Status while somebody looks: nothing to say on a mere refresh, unless the look is in trouble."""
    trouble = world.job.trouble if world.job else None
    if trouble:
        fact = Fact(looked(world.dataset), "Unknown", trouble.reason, trouble.message)
        return status(world, (_kept_ready(world) or working(trouble.reason, trouble.message)).also(fact))
    last = world.dataset.status.observation
    if last and last.spec_hash == world.spec_hash:
        return None
    if world.is_derive_wanted:
        said = working(Reason.DERIVING, f"deriving {short(world.derivation_hash)} from {_inputs(world)}")
        return status(world, (_kept_ready(world) or said).also(_inputs_fact(world)))
    return status(world, working(Reason.OBSERVING, f"looking at {world.source.uri}"))


def _inputs(world: World) -> str:
    return ", ".join(f"{given.name} version {given.version.spec.version}" for given in world.resolved)


def _inputs_fact(world: World) -> Fact:
    if isinstance(world.inputs, Unresolved):
        return Fact(INPUTS, "False", world.inputs.reason, world.inputs.message)
    return Fact(INPUTS, "True", Reason.INPUTS_RESOLVED, _inputs(world))


def unresolved(world: World, why: Unresolved) -> dict[str, Any]:
    """Status of a derived Dataset one of whose inputs has no version to read."""
    standing = stalled(why.reason, why.message) if why.final else working(why.reason, why.message)
    kept = None if why.final else _kept_ready(world)
    return status(world, (kept or standing).also(Fact(INPUTS, "False", why.reason, why.message)))


# between looks


def resting(world: World) -> dict[str, Any]:
    """Status between looks: what the last one said holds for the spec as it is now."""
    last, said = world.dataset.status.observation, world.dataset.status.condition(looked(world.dataset))
    if last and said and last.outcome == "Failed":
        standing = _standing_after_failure(world, Reason.of(said.reason), said.message)
        return status(world, standing, next_refresh_time=_time(world.due))
    version = world.current
    if version is None:
        return world.dataset.status.to_json()
    return _settled(world, version, next_refresh_time=_time(world.due))


def _time(moment: datetime | None) -> str | None:
    return to_timestamp(moment) if moment else None


def failed(world: World, reason: Reason, message: str) -> Plan:
    """The look failed: consumers keep what they have, the next look comes sooner."""
    observation = _observation(world, "Failed", failures=_failures(world) + 1, reason=reason)
    standing = _standing_after_failure(world, reason, message)
    after = status(world, standing, observation=observation, next_refresh_time=_time(world.due_after(observation)))
    return Plan(
        f"look failed: {reason}",
        status=after,
        deletes=(Delete.of(world.job.job),) if world.job else (),
        events=() if _known(world, reason) else (_failure_event(reason, message),),
    )


def published(world: World, version: DatasetVersion, outcome: str) -> Plan:
    """The look came to its end: this version is what the files are; consumers get it if it is valid."""
    news = world.dataset.status.current is None or world.dataset.status.current.name != version.name
    judged = next((v for v in world.versions if v.name == version.name), version).status != version.status
    observation = _observation(world, outcome)
    due = _time(world.due_after(observation))
    after = _settled(world, version, observation=observation, next_refresh_time=due)
    return Plan(
        "version published" if news else "nothing new",
        record_statuses=(RecordStatus(_manifest(world, version), version.status.to_json()),) if judged else (),
        status=after,
        deletes=(Delete.of(world.job.job),) if world.job else (),
        events=tuple(_events(version, news=news)) if news or judged else (),
    )


def _manifest(world: World, version: DatasetVersion) -> dict[str, Any]:
    found = world.seen.get(version.key)
    assert found is not None, "a version that is published was read from the store"
    return found


def _settled(world: World, version: DatasetVersion, **changes: object) -> dict[str, Any]:
    """Status when `version` is what the files are now."""
    good = world.good(version)
    standing = _standing(world, version, good).also(*_facts(world, version, good))
    return status(
        world,
        standing,
        current=_current(world, version),
        last_good=_good(good) if good else None,
        **changes,
    )


def _good(version: DatasetVersion) -> GoodVersion:
    return GoodVersion(version=version.spec.version, name=version.name, digest=version.spec.digest)


def _standing(world: World, version: DatasetVersion, good: DatasetVersion | None) -> Standing:
    if problem := _pin_problem(world):
        return stalled(*problem)
    if good is None or not world.fits(good):
        why = judgement.in_words(version.status.violations, version.status.violated) or _blocking(version)
        return stalled(
            Reason.VERSION_INVALID, f"version {version.spec.version} is refused, and there is no good one: {why}"
        )
    said = f"version {good.spec.version}: {_size(good)}"
    if good.name == version.name:
        return ready(Reason.READY, said)
    held = "pinned" if world.dataset.spec.version.pin else "refused, see Validated, SchemaCompatible and DriftDetected"
    return ready(Reason.READY, f"{said}; version {version.spec.version} is there and {held}")


def _size(version: DatasetVersion) -> str:
    spec = version.spec
    return f"{spec.rows} rows" if spec.schema_.total or spec.rows else f"{spec.manifest.files} files"


def _blocking(version: DatasetVersion) -> str:
    return f"drift {judgement.drift_in_words(version.status.drift)}" if version.status.drift else "its checks fail"


def _pin_problem(world: World) -> tuple[Reason, str] | None:
    pin = world.dataset.spec.version.pin
    if not pin:
        return None
    if world.pinned is None:
        return Reason.PIN_NOT_FOUND, f"version.pin {pin[:80]!r} names no version: see kubectl get datasetversions"
    if not is_valid(world.pinned):
        number = world.pinned.spec.version
        return Reason.PIN_INVALID, f"version.pin names version {number}, which is Invalid: pin a valid one"
    return None


def _facts(world: World, version: DatasetVersion, good: DatasetVersion | None) -> Iterator[Fact]:
    yield Fact(looked(world.dataset), "True", Reason.SOURCE_REACHED, version.spec.source.uri)
    if world.dataset.spec.derive:
        yield _inputs_fact(world)
    for fact in judgement.facts(version.status, world.dataset.spec.drift):
        yield freshness.validated(world, fact) if fact.type == VALIDATED else fact
    if good is None or good.name == version.name:
        yield Fact(MOVED, "False", Reason.SOURCE_AT_VERSION)
    else:
        yield Fact(
            MOVED,
            "True",
            Reason.SOURCE_MOVED_ON,
            f"the files are at version {version.spec.version}: consumers of version {good.spec.version} "
            "need those of its files that are still there",
        )


def _current(world: World, version: DatasetVersion) -> CurrentVersion:
    before, spec, drift = world.dataset.status.current, version.spec, version.status.drift
    algorithm = spec.digest.rsplit(":", 1)[0].removesuffix(":sha256")
    return CurrentVersion(
        version=spec.version,
        name=version.name,
        digest=spec.digest,
        short_digest=f"{algorithm}:{short(spec.digest)}",
        rows=spec.rows,
        bytes=binary_quantity(spec.manifest.bytes),
        files=spec.manifest.files,
        observed_at=before.observed_at if before and before.name == version.name else to_timestamp(world.now),
        valid="True" if is_valid(version) else "False",
        drift=f"{drift.worst[0].value:g}" if drift and drift.worst else "",
    )


def _observation(world: World, outcome: str, *, failures: int = 0, reason: str = "") -> Observation:
    last, answer = world.dataset.status.observation, world.verdict
    listing, newest = (answer.listing, answer.newest) if answer and outcome != "Failed" else ("", "")
    return Observation.model_validate(
        {
            "spec_hash": world.spec_hash,
            "time": to_timestamp(world.now),
            "request": world.request,
            "failures": failures,
            "outcome": outcome,
            "reason": reason,
            "unchanged": _unchanged(world, outcome),
            "listing": listing or (last.listing if last else ""),
            "newest": newest or (last.newest if last else None),
        }
    )


def _unchanged(world: World, outcome: str) -> int:
    last = world.dataset.status.observation
    counted = world.dataset.spec.refresh.adaptive and outcome == "Unchanged" and last is not None
    return min(last.unchanged + 1, 6) if counted and last else 0


def _failures(world: World) -> int:
    last = world.dataset.status.observation
    return last.failures if last and last.spec_hash == world.spec_hash else 0


def _standing_after_failure(world: World, reason: Reason, message: str) -> Standing:
    fact = Fact(looked(world.dataset), "False", reason, message)
    if kept := _kept_ready(world):
        return kept.also(fact)
    standing = stalled(reason, message) if needs_help(world.dataset, reason) else working(reason, message)
    return standing.also(fact)


def _kept_ready(world: World) -> Standing | None:
    """Still Ready, where the last good version is as the spec asks."""
    good = world.version(world.dataset.status.last_good)
    if good is None or not world.fits(good):
        return None
    return ready(Reason.READY, f"version {good.spec.version}; no newer one since, see {looked(world.dataset)}")


def _known(world: World, reason: Reason) -> bool:
    condition = world.dataset.status.condition(looked(world.dataset))
    return condition is not None and condition.status == "False" and condition.reason == reason


def _failure_event(reason: Reason, message: str) -> Event:
    unreachable = reason is Reason.SOURCE_UNREACHABLE
    return Event("Warning", EventReason.SOURCE_UNREACHABLE if unreachable else EventReason.OBSERVATION_FAILED, message)


def _events(version: DatasetVersion, *, news: bool) -> Iterator[Event]:
    spec, said = version.spec, version.status
    name = f"version {spec.version}"
    if news:
        made = EventReason.VERSION_DERIVED if spec.derivation else EventReason.VERSION_CREATED
        yield Event("Normal", made, f"{name}: {_size(version)}, {spec.manifest.files} files, {spec.digest}")
    if news and spec.change and spec.change.schema_ != "None":
        said_of_schema = f"{name}: {spec.change.schema_} against version {spec.change.from_}"
        yield Event("Normal", EventReason.SCHEMA_CHANGED, said_of_schema)
    if said.verdict == "Invalid" and said.violated:
        yield Event(
            "Warning", EventReason.VALIDATION_FAILED, f"{name}: {judgement.in_words(said.violations, said.violated)}"
        )
    if said.drift and said.drift.level != "None":
        moved = judgement.drift_in_words(said.drift)
        yield Event("Warning", EventReason.DRIFT_DETECTED, f"{name} against version {said.drift.against}: {moved}")
