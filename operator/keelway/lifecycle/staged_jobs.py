"""Why a Job of the shape of `manifests.staged_pod` did not come to a result: the data, the time, the work itself."""

from __future__ import annotations

from keelway.api.base import Manifest
from keelway.api.jobs import StageVerdict
from keelway.api.reasons import Reason
from keelway.lifecycle.jobs import JobState
from keelway.lifecycle.pods import exit_code, out_of_memory, verdict
from keelway.manifests.staged_pod import STAGE

Failure = tuple[Reason, str]


def work_failure(
    state: JobState, container: str, *, failed: Reason, too_long: str, memory: str = "its limit"
) -> Failure | None:
    """What kept a Job that has ended from its result, the sidecar's words apart; None when nothing did.

    `container` is the one that works, `failed` what its exit code counts as, `too_long` what to say after the deadline,
    `memory` what to raise when it used too much.
    """
    staged = verdict(state.pods, STAGE, StageVerdict)
    if staged and staged.outcome == "Failed":
        return Reason.of(staged.reason), staged.message
    if state.timed_out:
        return Reason.TIMED_OUT, too_long
    if state.last_pod is None or state.phase == "Lost":
        return Reason.DISRUPTED, "the pod is gone and left no verdict"
    return _exit_failure(state.last_pod, container, failed, memory)


def _exit_failure(pod: Manifest, container: str, failed: Reason, memory: str) -> Failure | None:
    code = exit_code(pod, container)
    if out_of_memory(pod, container):
        return Reason.OUT_OF_MEMORY, f"container {container} used more memory than it may: raise {memory}"
    if code is None:
        return Reason.DISRUPTED, f"container {container} did not run to its end"
    name = pod["metadata"]["name"]
    said = f"container {container} ended with exit code {code}: see kubectl logs {name} -c {container}"
    return (failed, said) if code else None
