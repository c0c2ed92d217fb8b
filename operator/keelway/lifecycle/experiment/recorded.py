"""The training that a ModelVersion's record describes: whether it can be done again, and as which Experiment."""

from __future__ import annotations

import re

from keelway.api.base import Manifest
from keelway.api.dataset_version import DatasetVersion
from keelway.api.experiment import Experiment, Tracking, TrialJob
from keelway.api.kinds import Key
from keelway.api.model_version import ModelInput, ModelVersion, Origin
from keelway.api.search import Objective
from keelway.lifecycle.dataset_inputs import has_files
from keelway.lifecycle.plan import Observed

DIGEST = re.compile("sha256:[0-9a-f]{64}")


def obstacle(model: ModelVersion, seen: Observed) -> str:
    """Why the model cannot be trained again from its record, and what to do; empty when it can."""
    origin = model.spec.produced_by
    if origin.external:
        return f"{model.name} was trained outside of Keelway: its record does not say how; train it where it was made"
    if origin.template is None:
        return (
            f"the record of {model.name} holds no pod template: it was larger than 32 KiB, or an older version made "
            f"the record; a run of Experiment {origin.experiment} makes a new one"
        )
    if not _trainer(origin):
        return f"the pod template in the record of {model.name} has no container {origin.container!r} that trains"
    return next((text for read in model.spec.inputs if (text := _unreadable(read, model.namespace, seen))), "")


def _trainer(origin: Origin) -> Manifest:
    """The container that trains: the recorded one, or the first; empty where there is none."""
    containers = ((origin.template or {}).get("spec") or {}).get("containers") or []
    return next((c for c in containers if origin.container in ("", c.get("name"))), {})


def _unreadable(read: ModelInput, namespace: str, seen: Observed) -> str:
    manifest = seen.get(Key("DatasetVersion", namespace, read.dataset_version))
    if manifest is None:
        return (
            f"the record of its data, DatasetVersion {read.dataset_version}, was deleted: apply it again from a backup"
        )
    version = DatasetVersion.model_validate(manifest)
    if version.spec.digest != read.digest:
        return f"DatasetVersion {version.name} is of other data, {version.spec.digest}: the model read {read.digest}"
    if not has_files(version, seen):
        return f"the list of files of DatasetVersion {version.name} was deleted: apply its ConfigMaps again"
    return ""


def recorded_image(origin: Origin) -> str:
    """What the container that trains ran: by digest, where the node told one that a registry knows, else as written."""
    name, _, digest = origin.image_id.removeprefix("docker-pullable://").partition("@")
    repository = _repository(origin.image)
    # A node names an image that was loaded into it in ways that no registry knows.
    known = name == repository or name.endswith(f"/{repository}")
    loaded = _trainer(origin).get("imagePullPolicy") == "Never"
    return f"{name}@{digest}" if known and DIGEST.fullmatch(digest) and not loaded else origin.image


def _repository(image: str) -> str:
    """An image's name without tag and digest."""
    path, slash, last = image.partition("@")[0].rpartition("/")
    return f"{path}{slash}{last.partition(':')[0]}"


def as_recorded(experiment: Experiment, model: ModelVersion, image: str) -> Experiment:
    """The Experiment with all that determined this model as it was then, and nothing told to others.

    Where models go, how long a trial may take and how often it is retried is as it is now.
    """
    origin, spec = model.spec.produced_by, experiment.spec
    container = str(_trainer(origin).get("name", ""))
    job = TrialJob(template=_with_image(origin.template or {}, container, image))
    changes = {
        "trial": spec.trial.model_copy(update={"job": job, "container": container}),
        "search": spec.search.model_copy(update={"seed": origin.seed}),
        "objective": Objective(metric=model.spec.objective or spec.objective.metric),
        "early_stopping": None,
        "tracking": Tracking(),
    }
    return experiment.model_copy(update={"spec": spec.model_copy(update=changes)})


def _with_image(template: Manifest, container: str, image: str) -> Manifest:
    pod = template["spec"]
    containers = [{**c, "image": image} if c.get("name") == container else c for c in pod["containers"]]
    return {**template, "spec": {**pod, "containers": containers}}
