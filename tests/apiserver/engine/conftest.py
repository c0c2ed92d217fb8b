"""The operator's own client on the real API server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dev.controlplane import ControlPlane
from keelway.kube.client import Client
from keelway.kube.writer import ApiWriter

USER = "engine-test"


@pytest.fixture
async def client(plane: ControlPlane) -> AsyncIterator[Client]:
    """Connected as an administrator that only these tests use."""
    client = await Client.connect(plane.admin_kubeconfig_for(USER))
    yield client
    await client.close()


@pytest.fixture
def writer(client: Client) -> ApiWriter:
    """The engine's writer on it."""
    return ApiWriter(client, instance="engine-test")
