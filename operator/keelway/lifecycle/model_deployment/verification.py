"""Before anything of a candidate runs: are its bytes those that were recorded?"""

from __future__ import annotations

from dataclasses import replace

from keelway.api.experiment import Experiment
from keelway.api.jobs import StageVerdict
from keelway.api.kinds import Key
from keelway.api.model_version import ModelVersion
from keelway.api.reasons import EventReason, Reason
from keelway.api.resource import Access
from keelway.lifecycle.conditions import Standing, stalled
from keelway.lifecycle.jobs import JobState, end_overdue, job_state, stop
from keelway.lifecycle.model_deployment import outcome
from keelway.lifecycle.model_deployment.outcome import OF_A_CANDIDATE
from keelway.lifecycle.model_deployment.refusal import rejected
from keelway.lifecycle.model_deployment.traffic import kept
from keelway.lifecycle.model_deployment.world import FINAL_REFUSALS, World
from keelway.lifecycle.plan import Plan
from keelway.lifecycle.pods import verdict
from keelway.lifecycle.staged_jobs import work_failure
from keelway.manifests.staged_pod import STAGE
from keelway.manifests.verify_job import verify_job

TOO_LONG = "the model's files were not read in time: is the store slow?"


def verifying(world: World) -> Plan | None:
    """The candidate's bytes have still to be compared with the record."""
    if world.candidate and world.candidate.verified:
        return None
    job = verify_job(
        world.deployment,
        world.wanted,
        access_to_model(world, world.wanted),
        attempt=world.attempt,
        image=world.settings.worker_image,
        pull_policy=world.settings.worker_pull_policy,
    )
    name = job["metadata"]["name"]
    if _older_has_a_share(world):
        # Before there is anything that the API server could refuse.
        return replace(_waiting(world, Plan("share taken back"), name), look_again_after=0.0)
    found = world.job(name)
    if found is None:
        return _waiting(world, Plan("verifies", creates=(job,)), name)
    state = job_state(found, world.seen, world.now)
    if state.phase == "Running":
        return _running(world, state)
    failure = work_failure(state, STAGE, failed=Reason.INTERNAL_ERROR, too_long=TOO_LONG)
    return _failed(world, state, *failure) if failure else _verified(world, state)


def _older_has_a_share(world: World) -> bool:
    """Whether the candidate before this one still has some of the traffic."""
    live = world.deployment.status.live
    return world.candidate is None and live is not None and live.weight < 100


def access_to_model(world: World, version: ModelVersion) -> Access:
    """How to read a model's files: as the spec says, or as the Experiment that wrote them did."""
    given, origin = world.deployment.spec.model.access, version.spec.produced_by
    maker = world.seen.get(Key("Experiment", version.namespace, origin.experiment)) if origin.experiment else None
    if given != Access() or maker is None:
        return given
    return Experiment.model_validate(maker).spec.output.access


def _waiting(world: World, plan: Plan, job: str, standing: Standing | None = None) -> Plan:
    """While the Job works, all stays as it is but for what an older candidate still has."""
    candidate = outcome.candidate(world, "Verifying")
    message = "is compared with its record"
    standing = standing or outcome.on_the_way(world, Reason.VERIFYING, message)
    return Plan(
        plan.reason,
        creates=plan.creates,
        applies=kept(world),
        status=outcome.status(
            world, standing.without(*OF_A_CANDIDATE), candidate=candidate, **outcome.soak_over(world)
        ),
        deletes=(*world.unwanted(keep_target=False), *world.superseded(job), *plan.deletes),
        events=(
            *outcome.phase_event(world, candidate, EventReason.VERIFYING, standing.message),
            *outcome.retirements(world, keep_target=False),
        ),
        look_again_after=outcome.soonest(world.soak_due_in, plan.look_again_after),
    )


def _running(world: World, state: JobState) -> Plan:
    standing = None
    if state.trouble:
        standing = stalled(state.trouble.reason, f"verification: {state.trouble.message}{outcome.still(world)}")
    plan = Plan("verifies", deletes=end_overdue(state), look_again_after=state.look_again_after)
    return _waiting(world, plan, state.name, standing)


def _failed(world: World, state: JobState, reason: Reason, message: str) -> Plan:
    """Other bytes are final. What may be the store's or the node's fault is tried again when its Job is gone."""
    if reason in FINAL_REFUSALS:
        return rejected(world, reason, message)
    if reason is Reason.DISRUPTED:
        return _waiting(world, Plan("verifies again", deletes=stop(state.job, world.seen)), state.name)
    standing = stalled(reason, f"verification: {message}{outcome.still(world)}")
    return _waiting(world, Plan("cannot verify"), state.name, standing)


def _verified(world: World, state: JobState) -> Plan:
    said = verdict(state.pods, STAGE, StageVerdict)
    if said is None:
        return _failed(world, state, Reason.INTERNAL_ERROR, "it left no verdict")
    candidate = outcome.candidate(world, "Evaluating", verified=True)
    message = f"has the recorded digest: {said.files} files, {said.bytes} bytes"
    return Plan(
        "verified",
        applies=kept(world),
        status=outcome.status(world, outcome.on_the_way(world, Reason.EVALUATING, message), candidate=candidate),
        look_again_after=0.0,
    )
