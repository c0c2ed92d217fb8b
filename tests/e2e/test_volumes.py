"""Data and models on a volume instead of in a bucket."""

from typing import Any

import pytest

from dev.demo.data import as_parquet, tumours
from tests.e2e.world import ONE_TRIAL, World

Manifest = dict[str, Any]

CLAIM = "lake"


@pytest.fixture(scope="module")
def volume(world: World) -> str:
    """A claim with the data as Parquet below `tumours/`."""
    world.apply(claim(world), writer(world))
    ready = ("wait", "--for=condition=Ready", "pod/writer", "--timeout=60s")
    world.kubectl(*ready)
    folder = "/lake/tumours"
    world.kubectl("exec", "writer", "--", "python3", "-c", f"import os; os.makedirs('{folder}', exist_ok=True)")
    for number, rows in enumerate((tumours()[:300], tumours()[300:])):
        put(world, f"{folder}/part-{number}.parquet", as_parquet(rows))
    world.kubectl("delete", "pod", "writer", "--grace-period=1", "--wait=true")
    return CLAIM


def test_from_a_volume_to_a_prediction(world: World, volume: str) -> None:
    dataset = world.dataset(source={"uri": f"pvc://{volume}/tumours"}, access={})
    experiment = world.experiment(search=ONE_TRIAL)
    experiment["spec"]["output"] |= {"uri": f"pvc://{volume}/models", "access": {}}
    deployment = world.deployment()
    world.apply(dataset, experiment, deployment)
    status = world.wait(dataset)["status"]["current"]
    assert (status["rows"], status["files"]) == (569, 2)
    world.wait(experiment)
    (model,) = world.list("modelversions")
    assert model["spec"]["artifact"]["uri"].startswith(f"pvc://{volume}/models/")
    world.wait(deployment)
    answer = world.predict(deployment, tumours()[:20])
    right = sum(label == int(row[-1]) for label, row in zip(answer.labels, tumours()[:20], strict=True))
    assert right >= 18


def claim(world: World) -> Manifest:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}}
    metadata = {"name": CLAIM, "namespace": world.namespace}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def writer(world: World) -> Manifest:
    """A pod that waits while files are written through it."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "writer",
        "image": world.images["worker"].ref,
        "command": ["python3", "-c", "import signal; signal.pause()"],
        "securityContext": security,
        "volumeMounts": [{"name": "lake", "mountPath": "/lake"}],
    }
    pod = {
        "containers": [container],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "lake", "persistentVolumeClaim": {"claimName": CLAIM}}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "writer", "namespace": world.namespace},
        "spec": pod,
    }


def put(world: World, path: str, content: bytes) -> None:
    """Write a file through the pod, as text on its standard input."""
    program = f"import sys; open('{path}', 'wb').write(bytes.fromhex(sys.stdin.read()))"
    world.kubectl("exec", "--stdin", "writer", "--", "python3", "-c", program, input=content.hex())
