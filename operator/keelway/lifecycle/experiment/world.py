"""What a decision about one Experiment looks at, gathered once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from keelway.api.base import Manifest
from keelway.api.digests import digest, short
from keelway.api.experiment import Experiment
from keelway.api.kinds import Key
from keelway.api.model_version import ModelVersion
from keelway.api.resource import RECONCILE_ANNOTATION
from keelway.api.run import Run, RunDataset
from keelway.lifecycle.dataset_inputs import Unresolved
from keelway.lifecycle.experiment.inputs import resolve
from keelway.lifecycle.experiment.trials import TrialRow, page_rows, rows_of
from keelway.lifecycle.jobs import JobState, job_state, jobs_for
from keelway.lifecycle.plan import Observed
from keelway.lifecycle.routing import MODEL
from keelway.lifecycle.settings import JobSettings
from keelway.manifests.names import child_name, hash8
from keelway.manifests.sweep_job import Sweep, sweep_job
from keelway.manifests.trial_job import RUN_ANNOTATION
from keelway.search import Space, trial_total


@dataclass(frozen=True)
class World:
    """One Experiment and everything seen that bears on it."""

    experiment: Experiment
    seen: Observed
    now: datetime
    settings: JobSettings

    @property
    def run(self) -> Run | None:
        """The current run as recorded."""
        return self.experiment.status.run

    @property
    def request(self) -> str:
        """The value of the annotation that asks for a look now."""
        return self.experiment.metadata.annotations.get(RECONCILE_ANNOTATION, "")[:256]

    @cached_property
    def recipe(self) -> str:
        """Names what the spec says about a run, but for the data."""
        spec = self.experiment.spec.to_json()
        search = {name: spec["search"].get(name) for name in ("algorithm", "seed", "maxTrials", "budget")}
        trial = {name: spec["trial"].get(name) for name in ("job", "container")}
        output = {name: spec["output"][name] for name in ("model", "format", "uri")}
        stopping = spec.get("earlyStopping")
        return digest([spec["objective"], spec["parameters"], search, stopping, trial, output])

    @cached_property
    def spec_hash(self) -> str:
        """Of the part of the spec that determines a run: the recipe, and which data is asked for."""
        return digest([self.recipe, self.experiment.spec.to_json()["datasets"]])

    def run_hash(self, datasets: tuple[RunDataset, ...]) -> str:
        """Names everything that determines a run: the recipe and the bytes."""
        data = [[read.name, read.digest, read.split, read.schema_digest] for read in datasets]
        return digest([self.recipe, data])

    @cached_property
    def inputs(self) -> tuple[RunDataset, ...] | Unresolved:
        """The versions that a run would read if it began now."""
        return resolve(self.experiment, self.seen)

    @cached_property
    def new_data(self) -> bool:
        """Whether a run that began now would read other data than the recorded one, where that counts."""
        follows = self.experiment.spec.trigger.on_new_dataset_version.policy == "Always"
        if self.run is None or not follows or isinstance(self.inputs, Unresolved):
            return False
        return self.run_hash(self.inputs) != self.run.hash

    @cached_property
    def space(self) -> Space:
        """The search space."""
        spec = self.experiment.spec
        return Space(spec.parameters, spec.objective.goal == "Maximize", spec.search.seed, spec.search.max_trials)

    @cached_property
    def total(self) -> int:
        """How many trials a run has."""
        return trial_total(self.experiment.spec.search, self.space)

    def run_tag(self, run: Run) -> str:
        """What all Jobs and the table of one run carry: the run's hash, and the failed run before that it repeats."""
        return self._tag(run.hash, run.failed_before)

    def artifacts(self, run_hash: str, failed_before: int) -> str:
        """URI below which the models of a run's trials go."""
        return f"{self.experiment.spec.output.uri.rstrip('/')}/{self._tag(run_hash, failed_before)}"

    def _tag(self, run_hash: str, failed_before: int) -> str:
        return short(digest([self.experiment.metadata.uid, run_hash, failed_before]))

    def table_name(self, run: Run) -> str:
        """Name of the ConfigMap with the run's trials, or with the first page of them."""
        return child_name(self.experiment.name, "trials", self.run_tag(run)[:8])

    def job_name(self, run: Run, number: int, attempt: int) -> str:
        """Name of a trial's Job: the same after a crash, so that nobody makes a second one."""
        return child_name(self.experiment.name, f"t{number}", hash8(self.run_tag(run), number, attempt))

    def page_name(self, run: Run, page: int) -> str:
        """Name of one page of the table: a ConfigMap has room for a MiB."""
        return f"{self.table_name(run)}-{page}" if page else self.table_name(run)

    @cached_property
    def page_rows(self) -> int:
        """How many trials share a page of the table."""
        return page_rows(self.experiment.spec.parameters)

    def rows(self, run: Run) -> dict[int, TrialRow]:
        """Recorded trials by number."""
        namespace, pages = self.experiment.namespace, range((self.total - 1) // self.page_rows + 1)
        tables = (self.seen.get(Key("ConfigMap", namespace, self.page_name(run, page))) for page in pages)
        return {number: row for table in tables for number, row in rows_of(table).items()}

    @cached_property
    def own_jobs(self) -> list[Manifest]:
        """All Jobs of this Experiment: of trials, of a reproduction, of a sweep."""
        return jobs_for(self.seen, self.experiment.key, self.experiment.metadata.uid)

    @cached_property
    def jobs(self) -> list[Manifest]:
        """Trial Jobs of this Experiment."""
        return [job for job in self.own_jobs if RUN_ANNOTATION in job["metadata"]["annotations"]]

    def sweep_job(self, sweep: Sweep) -> Manifest:
        """The Job that deletes a directory."""
        image, policy = self.settings.worker_image, self.settings.worker_pull_policy
        return sweep_job(self.experiment, sweep, image=image, pull_policy=policy)

    def jobs_of(self, run: Run) -> list[Manifest]:
        """The trial Jobs of one run."""
        tag = self.run_tag(run)
        return [job for job in self.jobs if job["metadata"]["annotations"][RUN_ANNOTATION] == tag]

    def state_of(self, job: Manifest) -> JobState:
        """How a Job stands."""
        return job_state(job, self.seen, self.now)

    @cached_property
    def models(self) -> list[ModelVersion]:
        """Versions of the model in the catalogue, oldest first."""
        key = Key(MODEL, self.experiment.namespace, self.experiment.spec.output.model)
        found = [ModelVersion.model_validate(m) for m in self.seen.about(key, "ModelVersion")]
        return sorted(found, key=lambda version: version.spec.version)

    def is_taken(self, name: str) -> bool:
        """Whether there is a ModelVersion of this name, of whatever model."""
        return self.seen.get(Key("ModelVersion", self.experiment.namespace, name)) is not None

    def model_of(self, run_hash: str) -> ModelVersion | None:
        """The model that a run of this hash has already yielded and that is here to stay."""
        kept = (m for m in self.models if not m.has_expired and not m.metadata.deletion_timestamp)
        return next((m for m in kept if m.spec.produced_by.run_hash == run_hash), None)

    def made_by(self, run: Run, model: ModelVersion) -> bool:
        """Whether a model was made by this very run, whose end may not have been recorded yet."""
        origin = model.spec.produced_by
        return origin.uid == self.experiment.metadata.uid and origin.run == run.number
