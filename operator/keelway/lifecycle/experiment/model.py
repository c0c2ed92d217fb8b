"""From the best trial to a ModelVersion, whose record is enough to train the model again."""

from __future__ import annotations

from itertools import count

from keelway.api.base import Manifest
from keelway.api.digests import canonical_json
from keelway.api.model_version import Artifact, ModelInput, ModelVersionSpec, Origin, Tracked
from keelway.api.run import Run
from keelway.lifecycle.experiment.trials import TrialRow
from keelway.lifecycle.experiment.world import World
from keelway.manifests import records
from keelway.manifests.trial_job import trainer_name

TEMPLATE_BYTES = 32 * 1024
"""Of canonical JSON: a record with a larger pod template leaves it out and stays small."""


def model_name(model: str, number: int) -> str:
    """Name of a ModelVersion."""
    return f"{model}-v{number}"


def next_number(world: World) -> int:
    """The number that the next version of the model gets; where its name is taken, the one after."""
    first = world.models[-1].spec.version + 1 if world.models else 1
    model = world.experiment.spec.output.model
    return next(number for number in count(first) if not world.is_taken(model_name(model, number)))


def destination(world: World, run: Run, number: int) -> str:
    """URI below which a trial's model goes."""
    return f"{run.artifacts or world.artifacts(run.hash, run.failed_before)}/{number}"


def record(world: World, spec: ModelVersionSpec) -> Manifest:
    """The ModelVersion with this spec."""
    return records.model_version(world.experiment, model_name(spec.model, spec.version), spec)


def new_model(world: World, run: Run, row: TrialRow) -> ModelVersionSpec:
    """What the run's best model is."""
    experiment = world.experiment
    return ModelVersionSpec(
        model=experiment.spec.output.model,
        version=next_number(world),
        artifact=_artifact(world, run, row),
        metrics=row.metrics,
        objective=experiment.spec.objective.metric,
        objective_value=row.value,
        inputs=tuple(ModelInput.model_validate(read.model_dump()) for read in run.datasets),
        produced_by=_origin(world, run, row),
    )


def _artifact(world: World, run: Run, row: TrialRow) -> Artifact:
    return Artifact(
        uri=f"{destination(world, run, row.number if row.answered_by is None else row.answered_by)}/{row.directory}",
        digest=row.digest,
        bytes=row.bytes,
        files=row.files,
        format=world.experiment.spec.output.format,
    )


def _origin(world: World, run: Run, row: TrialRow) -> Origin:
    experiment = world.experiment
    template, container = experiment.spec.trial.job.template, trainer_name(experiment)
    return Origin(
        experiment=experiment.name,
        uid=experiment.metadata.uid,
        run=run.number,
        run_hash=run.hash,
        trial=row.number,
        parameters=row.parameters,
        seed=experiment.spec.search.seed,
        image=_image_of(template, container),
        image_id=row.image_id,
        container=container,
        template=template if len(canonical_json(template)) <= TEMPLATE_BYTES else None,
        tracking=_tracked(row),
    )


def _image_of(template: Manifest, container: str) -> str:
    """The image of one container of a pod template, as written."""
    return next((str(c.get("image", "")) for c in template["spec"]["containers"] if c.get("name") == container), "")


def _tracked(row: TrialRow) -> Tracked | None:
    if not row.mlflow_run and not row.mlflow_error:
        return None
    return Tracked(mlflow_run=row.mlflow_run, error=row.mlflow_error)
