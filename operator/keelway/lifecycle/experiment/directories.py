"""Directories of an Experiment's models in a store: whose they are, and what in them must stay.

Two Experiments, namespaces or clusters may share a bucket. The name of a run's directory is a hash that covers the
Experiment's uid: what has such a name was made for no other.
"""

from __future__ import annotations

from collections.abc import Iterable

from keelway.api.digests import short
from keelway.api.jobs import list_beside
from keelway.api.model_version import ModelVersion
from keelway.api.run import Run, RunSummary
from keelway.lifecycle.experiment.world import World
from keelway.lifecycle.pods import terminal
from keelway.lifecycle.records.holders import in_or_around
from keelway.lifecycle.uris import below, normal
from keelway.manifests.trial_job import RUN_ANNOTATION


def is_of_run(world: World, run: Run | RunSummary) -> bool:
    """Whether a run's directory is one that this Experiment has made."""
    before = [run.failed_before] if isinstance(run, Run) else range(run.number)
    return _is_run_directory(world, _name(run.artifacts), run.hash, before)


def is_of_model(world: World, version: ModelVersion) -> bool:
    """Whether a model's files lie where this Experiment puts those of a trial: `<run>/<trial>/<digest>`."""
    trial, _, directory = normal(version.spec.artifact.uri).rpartition("/")
    run, _, number = trial.rpartition("/")
    origin = version.spec.produced_by
    is_own = directory == short(version.spec.artifact.digest) and number.isdigit()
    return is_own and _is_run_directory(world, _name(run), origin.run_hash, range(max(origin.run, 1)))


def _is_run_directory(world: World, name: str, run_hash: str, before: Iterable[int]) -> bool:
    return any(name == _name(world.artifacts(run_hash, number)) for number in before)


def _name(uri: str) -> str:
    return normal(uri).rpartition("/")[2]


def kept(world: World, uri: str, *, but: str = "") -> tuple[str, ...] | None:
    """Paths in a directory that are a ModelVersion's: its files and the list of them. None when all of it is.

    `but` names a ModelVersion whose files go.
    """
    others = in_or_around(uri, world.experiment.namespace, world.seen, but=but)
    paths = [below(other["spec"]["artifact"]["uri"], uri) for other in others]
    if not all(paths):
        return None
    return tuple(sorted({name for path in paths if path for name in (path, list_beside(path))}))


def is_busy(world: World, uri: str) -> bool:
    """Whether a pod of a run may still write into its directory."""
    pods = world.seen.about(world.experiment.key, "Pod")
    tags = (pod["metadata"].get("annotations", {}).get(RUN_ANNOTATION) for pod in pods if not terminal(pod))
    return _name(uri) in tags
