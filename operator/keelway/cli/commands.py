"""The command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from keelway.api.experiment import Experiment
from keelway.api.kinds import Key
from keelway.api.model_version import ModelVersion
from keelway.cli import reproduction, trials
from keelway.cli.cluster import Cluster
from keelway.cli.lineage import TARGETS, Lineage, trace
from keelway.cli.printing import show, show_trials


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("keelway"))
def main() -> None:
    """Ask Keelway about data, models and what serves."""


def in_a_namespace(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the connection and the namespace instead of the options that name them."""

    @click.option("-n", "--namespace", help="Namespace of the object; default: the context's.")
    @click.option("--kubeconfig", type=click.Path(path_type=Path), help="Default: KUBECONFIG or ~/.kube/config.")
    @click.option("--context", help="Context of the kubeconfig.")
    @wraps(command)
    def connected(namespace: str | None, kubeconfig: Path | None, context: str | None, **words: Any) -> None:
        cluster = Cluster.connect(kubeconfig=kubeconfig, context=context)
        command(cluster=cluster, namespace=namespace or cluster.namespace, **words)

    return connected


@main.command()
@click.argument("target", metavar="KIND/NAME", callback=lambda _, __, target: _parse(target))
@click.option("-o", "--output", type=click.Choice(["tree", "json"]), default="tree", show_default=True)
@in_a_namespace
def lineage(target: tuple[str, str], output: str, cluster: Cluster, namespace: str) -> None:
    """Print where a live model or a data set comes from, down to the bytes that it was made of.

    KIND is modeldeployment, modelversion, dataset or datasetversion, or a short name of these.
    """
    kind, name = target
    chain = trace(Key(kind, namespace, name), cluster.get)
    if any(link.kind == "ModelVersion" and not link.missing for link in chain.links()):
        chain = reproduction.with_reproductions(chain, cluster.list("Experiment", namespace))
    if output == "json":
        click.echo(json.dumps(chain.to_json(), indent=2))
    else:
        show(chain)
    _fail_where_it_ends(chain)


def _parse(target: str) -> tuple[str, str]:
    kind, _, name = target.partition("/")
    if kind.lower() not in TARGETS or not name:
        raise click.UsageError(f"{target!r} is not KIND/NAME with one of {', '.join(TARGETS)}")
    return TARGETS[kind.lower()], name


def _fail_where_it_ends(chain: Lineage) -> None:
    if broken := [link for link in chain.links() if link.missing]:
        raise click.ClickException("; ".join(f"{link.kind} {link.name}: {link.missing}" for link in broken))


@main.command()
@click.argument("model", metavar="MODELVERSION", callback=lambda _, __, target: _model_name(target))
@click.option("--again", is_flag=True, help="Also when it was done before.")
@in_a_namespace
def reproduce(model: str, again: bool, cluster: Cluster, namespace: str) -> None:
    """Have a model trained again from its record, by the Experiment that made it, and compared with it.

    MODELVERSION is its name, also as modelversion/NAME.
    """
    found = cluster.get(Key("ModelVersion", namespace, model))
    if found is None:
        raise click.ClickException(f"there is no ModelVersion {model} in namespace {namespace}")
    record = ModelVersion.model_validate(found)
    maker = record.spec.produced_by.experiment
    manifest = cluster.get(Key("Experiment", namespace, maker)) if maker else None
    if manifest is None:
        raise click.ClickException(reproduction.no_maker(record))
    experiment = Experiment.model_validate(manifest)
    cluster.change(experiment.key, reproduction.request(experiment, model, again=again))
    click.echo(reproduction.told(experiment, model))


def _model_name(target: str) -> str:
    kind, name = _parse(target) if "/" in target else ("ModelVersion", target)
    if kind != "ModelVersion":
        raise click.UsageError(f"{target!r} is no ModelVersion: only a model can be trained again")
    return name


@main.command("trials")
@click.argument("name", metavar="EXPERIMENT")
@click.option("--sort", type=click.Choice(["number", "value"]), default="number", show_default=True)
@click.option("-o", "--output", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@in_a_namespace
def list_trials(name: str, sort: str, output: str, cluster: Cluster, namespace: str) -> None:
    """List the trials of an Experiment's current run; by value, the best come first."""
    manifest = cluster.get(Key("Experiment", namespace, name))
    if manifest is None:
        raise click.ClickException(f"there is no Experiment {name} in namespace {namespace}")
    found = trials.read(Experiment.model_validate(manifest), cluster.get)
    rows = found.by(sort)
    if output == "json":
        click.echo(json.dumps([row.to_json() for row in rows], indent=2))
    elif output == "csv":
        click.echo(trials.to_csv(rows), nl=False)
    else:
        show_trials(found, rows)
    if found.missing:
        raise click.ClickException(f"the table is not whole: there is no ConfigMap {', '.join(found.missing)}")
