"""A model trained again from its record, once, to see whether the same comes out.

What is done again is one trial: the recorded pod template, image, seed, parameters and versions of the data, by a Job
like any trial's. That it begins is recorded before its Job is made, and its end before anything else happens, so a
crash repeats nothing and leaves nothing behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from keelway.api.base import Manifest
from keelway.api.digests import digest, short
from keelway.api.durations import from_timestamp, to_timestamp
from keelway.api.kinds import Key
from keelway.api.model_version import ModelVersion
from keelway.api.reasons import EventReason, Reason
from keelway.api.run import Reproduction, Run
from keelway.lifecycle.conditions import Fact, Standing, Truth, ready, shortened, stalled, working
from keelway.lifecycle.experiment import outcome
from keelway.lifecycle.experiment.differences import compared
from keelway.lifecycle.experiment.inputs import trial_inputs
from keelway.lifecycle.experiment.recorded import as_recorded, obstacle, recorded_image
from keelway.lifecycle.experiment.trials import TrialRow, row_from
from keelway.lifecycle.experiment.world import World
from keelway.lifecycle.jobs import JobState, has_ended, stop
from keelway.lifecycle.plan import Delete, Event, Plan
from keelway.lifecycle.pods import terminal
from keelway.manifests.names import child_name, hash8
from keelway.manifests.sweep_job import Sweep
from keelway.manifests.trial_job import REPRODUCE_ANNOTATION, TrialJob, trial_job

CONDITION = "Reproduced"
PATIENCE = timedelta(seconds=30)
"""How long a pod may outstay its end, and an image resist being pulled by its digest before it is run as written."""


def reproduce(world: World, run: Run | None) -> Plan | None:
    """What to do for `spec.reproduce` next; None where that is nothing and other steps have their say.

    While a run goes on nothing begins, and what is not wanted any more ends.
    """
    recorded, idle = world.experiment.status.reproduction, run is None or run.state != "Running"
    plan = _not_wanted_any_more(world, recorded)
    if plan and (idle or plan.deletes or plan.status):
        return plan
    return Reproducing(world, run).next_step(recorded) if idle and world.experiment.spec.reproduce else None


def tag_of(world: World, reproduction: Reproduction) -> str:
    """What the Jobs of one reproduction carry."""
    asked = [reproduction.model_version, reproduction.uid, reproduction.request]
    return short(digest([world.experiment.metadata.uid, "reproduce", *asked]))


def directory_of(world: World, reproduction: Reproduction) -> str:
    """URI of the directory of what its Jobs upload, beside those of runs."""
    return f"{world.experiment.spec.output.uri.rstrip('/')}/{tag_of(world, reproduction)}"


def _not_wanted_any_more(world: World, recorded: Reproduction | None) -> Plan | None:
    """Another model is asked for, or the same once more, or none: end what runs, then forget what was."""
    if recorded is None:
        # Nothing is to be swept, so nobody goes through the pods: a run may have thousands of them.
        stops = _stops(world)
        return Plan("reproduction ends", deletes=stops) if stops else None
    wanted = _is_asked_for(world, recorded)
    if plan := _ending(world, but=tag_of(world, recorded) if wanted else ""):
        return plan
    return None if wanted else _forgotten(world, recorded)


def _is_asked_for(world: World, recorded: Reproduction) -> bool:
    """A record that was deleted since is still the one that was meant; another of the same name is not."""
    name, model = world.experiment.spec.reproduce, _model(world)
    same_record = model is None or model.metadata.uid == recorded.uid
    return (recorded.model_version, recorded.request) == (name, world.request) and same_record


def _forgotten(world: World, recorded: Reproduction) -> Plan:
    status = world.experiment.status
    conditions = tuple(condition for condition in status.conditions if condition.type != CONDITION)
    after = status.model_copy(update={"reproduction": None, "conditions": conditions})
    sweeps = (_sweep(world, recorded),) if recorded.state == "Running" else ()
    return Plan("reproduction forgotten", creates=sweeps, status=after.to_json())


def _sweep(world: World, reproduction: Reproduction) -> Manifest:
    """The Job that deletes what the reproduction uploaded: what counts of it is recorded."""
    return world.sweep_job(Sweep(uri=directory_of(world, reproduction)))


def _ending(world: World, *, but: str = "") -> Plan | None:
    """End the reproductions that run, all but the one with this tag, and do nothing else before their pods are gone."""
    stops = _stops(world, but=but)
    pods = [pod for pod in world.seen.about(world.experiment.key, "Pod") if _tag(pod, but) != but]
    if not stops and not any(_lingers(pod, world.now) for pod in pods):
        return None
    return Plan("reproduction ends", deletes=stops, look_again_after=PATIENCE.total_seconds())


def _stops(world: World, *, but: str = "") -> tuple[Delete, ...]:
    jobs = [job for job in world.own_jobs if _tag(job, but) != but and not has_ended(job)]
    return tuple(order for job in jobs for order in stop(job, world.seen))


def _lingers(pod: Manifest, now: datetime) -> bool:
    """Whether a pod may still upload something; one that should be gone by now is on a node that is."""
    gone = pod["metadata"].get("deletionTimestamp")
    return not terminal(pod) and (gone is None or now < from_timestamp(gone) + PATIENCE)


def _tag(manifest: Manifest, default: str) -> str:
    """Which reproduction a Job or a pod belongs to; the default where it belongs to none."""
    tag: str = manifest["metadata"].get("annotations", {}).get(REPRODUCE_ANNOTATION, default)
    return tag


def _model(world: World) -> ModelVersion | None:
    name = world.experiment.spec.reproduce
    manifest = world.seen.get(Key("ModelVersion", world.experiment.namespace, name)) if name else None
    return ModelVersion.model_validate(manifest) if manifest else None


@dataclass(frozen=True)
class Reproducing:
    """The reproduction that `spec.reproduce` asks for, as it stands now."""

    world: World
    run: Run | None

    def next_step(self, recorded: Reproduction | None) -> Plan | None:
        """What comes after what is recorded."""
        if recorded is None or not recorded.job:
            return self._begin(recorded)
        if recorded.state != "Running":
            return self._over(recorded)
        model = _model(self.world)
        if model is None:
            return self._refused(recorded, "its record was deleted while it was trained again")
        return self._goes_on(recorded, model)

    def _begin(self, refused: Reproduction | None) -> Plan | None:
        """Record what is about to be done, or why it cannot be; the latter is looked at again each time."""
        if self.world.experiment.spec.suspend:
            return outcome.suspended(self.world) if self.run is None else None
        name, model = self.world.experiment.spec.reproduce, _model(self.world)
        if model is None:
            wrong = f"there is no ModelVersion {name} in namespace {self.world.experiment.namespace}"
            return self._refused(refused or self._new(None), wrong)
        if wrong := obstacle(model, self.world.seen):
            return self._refused(refused or self._new(model), wrong)
        return self._running(self._told(self._new(model), "is trained again"))

    def _new(self, model: ModelVersion | None) -> Reproduction:
        fresh = Reproduction(
            model_version=self.world.experiment.spec.reproduce,
            uid=model.metadata.uid if model else "",
            request=self.world.request,
            image=recorded_image(model.spec.produced_by) if model else "",
            recorded_digest=model.spec.artifact.digest if model else "",
            start_time=to_timestamp(self.world.now),
        )
        return self._at_attempt(fresh, 0)

    def _at_attempt(self, reproduction: Reproduction, attempt: int) -> Reproduction:
        """Named the same after a crash, so that nobody makes a second Job."""
        tag = hash8(tag_of(self.world, reproduction), attempt)
        name = child_name(self.world.experiment.name, "reproduce", tag)
        return reproduction.model_copy(update={"attempt": attempt, "job": name})

    def _goes_on(self, recorded: Reproduction, model: ModelVersion) -> Plan:
        """Begin the attempt that is due, wait for the one that runs, or record how it ended."""
        job = next((job for job in self.world.own_jobs if job["metadata"]["name"] == recorded.job), None)
        if job is None:
            return self._next_attempt(recorded, model)
        state = self.world.state_of(job)
        if state.phase == "Running":
            return self._waits(recorded, model, state)
        return self._ended(recorded, model, state)

    def _next_attempt(self, recorded: Reproduction, model: ModelVersion) -> Plan:
        due = from_timestamp(recorded.not_before) if recorded.not_before else self.world.now
        if due > self.world.now:
            return self._running(recorded, again=(due - self.world.now).total_seconds())
        if self.world.experiment.spec.suspend:
            return self._running(recorded, "spec.suspend is true: no further attempt begins")
        if wrong := obstacle(model, self.world.seen):
            return self._refused(recorded, wrong)
        if left := _stops(self.world):
            return Plan("reproduction ends", deletes=left)
        return self._running(recorded, creates=(self._job(recorded, model),))

    def _job(self, recorded: Reproduction, model: ModelVersion) -> Manifest:
        world, origin = self.world, model.spec.produced_by
        trial = TrialJob(
            name=recorded.job,
            run=tag_of(world, recorded),
            number=origin.trial,
            attempt=recorded.attempt,
            parameters=origin.parameters,
            inputs=trial_inputs(model.spec.inputs, world.experiment.namespace, world.seen) or (),
            destination=directory_of(world, recorded),
            mark=REPRODUCE_ANNOTATION,
        )
        image, policy = world.settings.worker_image, world.settings.worker_pull_policy
        experiment = as_recorded(world.experiment, model, recorded.image)
        return trial_job(experiment, trial, image=image, pull_policy=policy)

    def _waits(self, recorded: Reproduction, model: ModelVersion, state: JobState) -> Plan:
        if state.trouble is None:
            return self._running(recorded, again=state.look_again_after)
        written, message = model.spec.produced_by.image, f"{state.trouble.reason}: {state.trouble.message}"
        if state.trouble.reason is not Reason.IMAGE_PULL_FAILED or recorded.image == written:
            return self._running(recorded, message, again=state.look_again_after)
        left = PATIENCE - (self.world.now - from_timestamp(state.job["metadata"]["creationTimestamp"]))
        if left > timedelta():
            return self._running(recorded, message, again=left.total_seconds())
        return self._with_image(recorded, written)

    def _with_image(self, recorded: Reproduction, image: str) -> Plan:
        """Where no registry has the digest (any more), the image as written is what is left; digests are compared."""
        later = self._at_attempt(recorded, recorded.attempt + 1).model_copy(update={"image": image})
        return self._running(self._told(later, f"is trained with {image}: {recorded.image} cannot be pulled"))

    def _ended(self, recorded: Reproduction, model: ModelVersion, state: JobState) -> Plan:
        before = TrialRow(
            number=model.spec.produced_by.trial,
            state="Retrying",
            parameters={},
            attempt=recorded.attempt,
            failures=recorded.failures,
        )
        row = row_from(as_recorded(self.world.experiment, model, recorded.image), state, before, self.world.now)
        if row.state == "Retrying":
            return self._again(recorded, row)
        if row.state == "Failed":
            return self._result(_failed(recorded, f"{row.reason}: {row.message}"))
        return self._result(compared(recorded, model, row))

    def _again(self, recorded: Reproduction, row: TrialRow) -> Plan:
        update = {"failures": row.failures, "not_before": row.not_before}
        later = self._at_attempt(recorded, row.attempt).model_copy(update=update)
        return self._running(self._told(later, f"is trained once more: {row.reason}: {row.message}"))

    def _told(self, reproduction: Reproduction, what: str) -> Reproduction:
        return reproduction.model_copy(update={"message": shortened(f"{reproduction.model_version} {what}")})

    def _running(
        self,
        reproduction: Reproduction,
        trouble: str = "",
        *,
        creates: tuple[Manifest, ...] = (),
        again: float | None = None,
    ) -> Plan:
        """It is under way; `trouble` is what the condition says while it lasts."""
        status = self._status(reproduction, trouble)
        return Plan("reproduction goes on", creates=creates, status=status, look_again_after=again)

    def _result(self, found: Reproduction) -> Plan:
        """It is over: what came out is recorded, and what was uploaded goes."""
        update = {"not_before": None, "completion_time": to_timestamp(self.world.now)}
        ended = self._told(found.model_copy(update=update), f"was trained again: {found.message}")
        sweep = _sweep(self.world, ended)
        return Plan("reproduction over", creates=(sweep,), status=self._status(ended), events=(_event(ended),))

    def _over(self, recorded: Reproduction) -> Plan | None:
        """A recorded result stays the result, whatever became of the Job or of the record."""
        return Plan("reproduction over", status=self._status(recorded)) if self.run is None else None

    def _refused(self, before: Reproduction, why: str) -> Plan:
        """It cannot be done (any more)."""
        if plan := _ending(self.world):
            return plan
        failed = _failed(before, shortened(why)).model_copy(update={"job": ""})
        ended = failed.model_copy(update={"completion_time": before.completion_time or to_timestamp(self.world.now)})
        begun = before == self.world.experiment.status.reproduction and before.state == "Running"
        return Plan(
            "not reproducible",
            creates=(_sweep(self.world, before),) if begun else (),
            status=self._status(ended),
            events=(_event(ended),) if before.state == "Running" else (),
        )

    def _status(self, reproduction: Reproduction, trouble: str = "") -> dict[str, Any]:
        truth, reason = _truth(reproduction)
        fact = Fact(CONDITION, truth, reason, trouble or reproduction.message)
        if self.run is None:
            return outcome.status(self.world, _standing(fact).also(fact), reproduction=reproduction)
        return outcome.over_status(self.world, self.run, facts=(fact,), reproduction=reproduction)


def _failed(reproduction: Reproduction, why: str) -> Reproduction:
    return reproduction.model_copy(update={"state": "Failed", "message": why})


def _event(ended: Reproduction) -> Event:
    if ended.state == "Reproduced":
        return Event("Normal", EventReason.REPRODUCED, ended.message)
    differs = ended.state == "Differs"
    reason = EventReason.REPRODUCTION_DIFFERS if differs else EventReason.REPRODUCTION_FAILED
    return Event("Warning", reason, ended.message)


def _truth(reproduction: Reproduction) -> tuple[Truth, Reason]:
    """Status and reason of the condition."""
    if reproduction.state == "Running":
        return "Unknown", Reason.REPRODUCING
    if reproduction.state == "Reproduced":
        same = reproduction.digest == reproduction.recorded_digest
        return "True", Reason.SAME_BYTES if same else Reason.SAME_METRICS
    if reproduction.state == "Differs":
        return "False", Reason.METRICS_DIFFER
    return "False", Reason.REPRODUCTION_FAILED if reproduction.job else Reason.NOT_REPRODUCIBLE


def _standing(fact: Fact) -> Standing:
    """How an Experiment stands that does nothing else."""
    as_told = {"True": ready, "Unknown": working, "False": stalled}[fact.status]
    return as_told(fact.reason, fact.message)
