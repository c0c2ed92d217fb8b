"""Asks for a model to be trained again from its record, and tells what came out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

import click
import yaml

from keelway.api import API_VERSION
from keelway.api.base import Manifest
from keelway.api.durations import to_timestamp
from keelway.api.experiment import Experiment
from keelway.api.model_version import ModelVersion
from keelway.api.resource import RECONCILE_ANNOTATION
from keelway.api.run import Reproduction
from keelway.cli.lineage import Lineage

PATH_OF_A_TRIAL = 3
"""An artifact lies in `<run>/<trial>/<digest>/` below the output's URI."""


def request(experiment: Experiment, model: str, *, again: bool) -> Manifest:
    """What to merge into the Experiment. Raises ClickException when it has been asked for that already."""
    if experiment.spec.reproduce == model and not again:
        raise click.ClickException(
            f"Experiment {experiment.name} was asked to reproduce {model} before{_came_out(experiment)}; "
            "do it once more with --again"
        )
    moment = to_timestamp(datetime.now(UTC))
    metadata = {"annotations": {RECONCILE_ANNOTATION: f"reproduce {moment}"}}
    return {"spec": {"reproduce": model}, **({"metadata": metadata} if again else {})}


def _came_out(experiment: Experiment) -> str:
    done = experiment.status.condition("Reproduced")
    return f": {done.reason}: {done.message}" if done else ""


def told(experiment: Experiment, model: str) -> str:
    """What happens now, and how to follow it."""
    where = f"-n {experiment.namespace}"
    return "\n".join(
        (
            f"Experiment {experiment.name} trains {model} again from its record{_when(experiment)}.",
            f"Follow it:  kubectl get experiment {experiment.name} {where} -w -o "
            """custom-columns='REPRODUCED:.status.conditions[?(@.type=="Reproduced")].reason'""",
            f"The result: kubectl keelway lineage modelversion/{model} {where}",
        )
    )


def _when(experiment: Experiment) -> str:
    run = experiment.status.run
    if experiment.spec.suspend:
        return " as soon as its spec.suspend is false"
    return f" when its run {run.number} is over" if run and run.state == "Running" else ""


def no_maker(model: ModelVersion) -> str:
    """Why there is no Experiment to ask, and which one to write."""
    origin = model.spec.produced_by
    if origin.external or not origin.experiment:
        return f"{model.name} was trained outside of Keelway: its record does not say how"
    gone = f"Experiment {origin.experiment}, which made {model.name}, is gone"
    if origin.template is None:
        return f"{gone}, and the record holds no pod template: it was larger than 32 KiB, or is of an older version"
    written = yaml.safe_dump(_experiment(model), sort_keys=False)
    return f"{gone}. Write one that does nothing but this, with the output.access that the bucket needs:\n\n{written}"


def _experiment(model: ModelVersion) -> Manifest:
    """The shortest Experiment that trains the model again."""
    spec, origin = model.spec, model.spec.produced_by
    trial = {"job": {"template": origin.template}, **({"container": origin.container} if origin.container else {})}
    output = {
        "model": spec.model,
        "format": spec.artifact.format.to_json(),
        "uri": spec.artifact.uri.rstrip("/").rsplit("/", PATH_OF_A_TRIAL)[0] + "/",
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "Experiment",
        "metadata": {"name": f"{model.name}-again", "namespace": model.namespace},
        "spec": {
            "reproduce": model.name,
            "datasets": [{"name": r.name, "dataset": r.dataset, "split": r.split} for r in spec.inputs],
            "objective": {"metric": spec.objective},
            "trial": trial,
            "output": output,
        },
    }


def with_reproductions(chain: Lineage, experiments: Iterable[Manifest]) -> Lineage:
    """The chain, each model in it with whether it was trained again and what came out, by whichever Experiment."""
    known = [Experiment.model_validate(manifest) for manifest in experiments]
    return _with(chain, known)


def _with(link: Lineage, known: list[Experiment]) -> Lineage:
    origins = tuple(_with(origin, known) for origin in link.origins)
    if link.kind != "ModelVersion" or link.missing:
        return replace(link, origins=origins)
    digest = dict(link.facts).get("digest", "")
    found = (_summary(experiment, link.name, digest) for experiment in known)
    facts = (("reproduced", summary) for summary in found if summary)
    return replace(link, facts=(*link.facts, *facts), origins=origins)


def _summary(experiment: Experiment, model: str, digest: str) -> str:
    done = experiment.status.reproduction
    if done is None or (done.model_version, done.recorded_digest) != (model, digest):
        return ""
    when = f" at {done.completion_time}" if done.completion_time else ""
    return f"{_outcome(done)} by Experiment {experiment.name}{when}"


def _outcome(done: Reproduction) -> str:
    same = done.digest == done.recorded_digest
    return {
        "Running": "is being trained again",
        "Reproduced": "yes, the same bytes" if same else "yes, other bytes with the same metrics",
        "Differs": "no, metrics differ",
        "Failed": f"could not be: {done.message}",
    }[done.state]
