"""The Job that deletes what one run or one model of an Experiment left in a store, apart from what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from keelway.api.base import Manifest
from keelway.api.digests import canonical_json
from keelway.api.experiment import Experiment
from keelway.api.jobs import SweepOrder
from keelway.api.resource import Access
from keelway.manifests.job import job
from keelway.manifests.metadata import child_metadata
from keelway.manifests.names import child_name, hash8
from keelway.manifests.storage import Storage, storage
from keelway.manifests.worker_container import scratch_volume, worker_container

SWEEP = "sweep"
SWEEP_ANNOTATION = "keelway.dev/sweep"
"""JSON of which directory a Job sweeps, whose it is, and how often it was tried before."""
SWEEP_DEADLINE_SECONDS = 3600
SWEEP_KEEP_SECONDS = 3600
RESOURCES = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
OF_TRIALS = ("imagePullSecrets", "tolerations")
"""What the pod has in common with those of the trials, so that it can run where they can."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One directory to delete."""

    uri: str
    """Of the directory: at least one path segment below the bucket or the claim."""
    keep: tuple[str, ...] = ()
    model: str = ""
    """The ModelVersion whose directory it is; empty: a run's."""
    attempt: int = 0
    """How many Jobs have tried before and failed."""


def sweep_job(experiment: Experiment, sweep: Sweep, *, image: str, pull_policy: str) -> Manifest:
    """The Job; whoever wrote the files, by user and by account, deletes them."""
    pod: Mapping[str, Any] = experiment.spec.trial.job.template.get("spec", {})
    access = experiment.spec.output.access
    reach = _reach(sweep.uri, access)
    order = SweepOrder(location=reach.location, keep=sweep.keep)
    container = worker_container(
        SWEEP, order, image=image, pull_policy=pull_policy, mounts=reach.mounts, resources=RESOURCES
    )
    spec = {
        "containers": [container],
        "volumes": [scratch_volume(), *reach.volumes],
        **{name: pod[name] for name in OF_TRIALS if name in pod},
        "serviceAccountName": pod.get("serviceAccountName") or access.service_account_name or "default",
        "terminationGracePeriodSeconds": 5,
        "securityContext": {
            "fsGroup": 65532,
            "fsGroupChangePolicy": "OnRootMismatch",
            **pod.get("securityContext", {}),
        },
    }
    name = child_name(experiment.name, SWEEP, hash8(sweep.uri, sweep.attempt))
    facts = {"uri": sweep.uri, "model": sweep.model, "attempt": sweep.attempt}
    annotations = {SWEEP_ANNOTATION: canonical_json(facts).decode()}
    return job(
        child_metadata(experiment, name, annotations=annotations),
        {"spec": spec},
        deadline=SWEEP_DEADLINE_SECONDS,
        keep=SWEEP_KEEP_SECONDS,
    )


def _reach(uri: str, access: Access) -> Storage:
    """Of a claim the directory above is mounted: a mount cannot be removed, nor what lies beside it."""
    if not uri.startswith("pvc://"):
        return storage(uri, access, "output", read_only=False)
    parent, _, name = uri.rstrip("/").rpartition("/")
    reach = storage(parent, access, "output", read_only=False)
    mount = f"{reach.location.mount}/{name}"
    return replace(reach, location=reach.location.model_copy(update={"mount": mount}))
