"""The local cluster with Keelway installed by its chart, and a world for each test module."""

from collections.abc import Iterator, Mapping

import pytest

from dev import release
from dev.cluster import Cluster
from dev.images import BuiltImage, build_images
from tests.e2e.operator import Operator
from tests.e2e.world import World


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster, up."""
    cluster = Cluster()
    cluster.up()
    return cluster


@pytest.fixture(scope="session")
def images(cluster: Cluster) -> Mapping[str, BuiltImage]:
    """Keelway's images and the example trainer's, on the nodes."""
    built = build_images(["operator", "worker", "trainer"])
    cluster.load([image.archive for image in built.values()])
    return built


@pytest.fixture(scope="session")
def operator(cluster: Cluster, images: Mapping[str, BuiltImage]) -> Operator:
    """Keelway as the chart installs it."""
    release.install(
        cluster.kubeconfig, release.image_values(operator=images["operator"].ref, worker=images["worker"].ref)
    )
    return Operator(cluster, audit_from=len(cluster.audit_log()))


@pytest.fixture(scope="module")
def world(cluster: Cluster, images: Mapping[str, BuiltImage], operator: Operator) -> Iterator[World]:
    """A namespace and buckets of the module's own."""
    assert operator.pod()
    world = World(cluster, images)
    world.begin()
    yield world
    world.end()
