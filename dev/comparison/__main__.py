"""`python -m dev.comparison`: the table on the terminal, and the same as Markdown on standard output."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from dev import release
from dev.cluster import Cluster
from dev.comparison.comparing import Comparison
from dev.comparison.models import CASES, sound
from dev.comparison.sides import SOUND, ByKeelway, InPlace
from dev.comparison.table import Line, as_markdown, as_table
from dev.demo.examples import apply, restricted_namespace
from dev.errors import DevError
from dev.images import BuiltImage, build_images
from dev.platform.buckets import bucket
from dev.platform.endpoints import Endpoints, s3_access
from dev.progress import console, step

NAMESPACE = "comparison"
MODELS, LAKE = f"{NAMESPACE}-models", f"{NAMESPACE}-lake"
GONE_SECONDS = 180


@click.command()
@click.option("--as-installed", is_flag=True, help="Compare with the Keelway that runs, and leave it as it is.")
def main(as_installed: bool) -> None:
    """Change a model in place and by Keelway, on the local cluster, and count what clients notice."""
    cluster = Cluster()
    try:
        images = _prepared(cluster, install=not as_installed)
        with _namespace(cluster):
            lines = _compared(cluster, images)
    except DevError as error:
        console.rule("[red]not compared[/red]")
        console.print(str(error), markup=False, soft_wrap=True)
        sys.exit(1)
    console.print(as_table(lines))
    click.echo(as_markdown(lines))


def _prepared(cluster: Cluster, *, install: bool) -> dict[str, BuiltImage]:
    """Cluster, images and Keelway."""
    names = ["trainer", *(["operator", "worker"] if install else [])]
    cluster.up(images=names)
    images = build_images(names)
    cluster.load([image.archive for image in images.values()])
    if install:
        values = release.image_values(operator=images["operator"].ref, worker=images["worker"].ref)
        with step("helm install keelway charts/keelway") as current:
            current.note = f"revision {release.install(cluster.kubeconfig, values)}"
    return images


def _compared(cluster: Cluster, images: dict[str, BuiltImage]) -> list[Line]:
    """A line for each case and side."""
    endpoints = Endpoints.of(cluster)
    store = bucket(endpoints, MODELS)
    for model in (sound(), *(case.model() for case in CASES)):
        model.put_into(store)
    by_hand = InPlace(cluster, NAMESPACE, MODELS)
    by_keelway = ByKeelway(cluster, NAMESPACE, MODELS, LAKE, images, bucket(endpoints, LAKE))
    comparison = Comparison([by_hand, by_keelway], endpoints.gateway)
    comparison.begin()
    return [line for version, case in enumerate(CASES, SOUND + 1) for line in comparison.case(case, version)]


@contextmanager
def _namespace(cluster: Cluster) -> Iterator[None]:
    """A new one for as long as the body runs."""
    with step(f"namespace {NAMESPACE}"):
        _gone(cluster)
        apply(cluster, restricted_namespace(NAMESPACE), *s3_access(NAMESPACE))
    try:
        yield
    finally:
        with step(f"namespace {NAMESPACE}: away"):
            _gone(cluster)


def _gone(cluster: Cluster) -> None:
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", f"--timeout={GONE_SECONDS}s")


if __name__ == "__main__":
    main()
