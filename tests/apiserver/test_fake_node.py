"""The fake node does what a kubelet would, as far as Jobs, pods and the API server's `pods/log` can tell."""

import pytest

from keelway.api.base import Manifest
from tests.apiserver.api import Api, RefusedError
from tests.apiserver.fake_kserve import RESTRICTED
from tests.apiserver.fake_node import FakeNode
from tests.apiserver.pod_script import FOREVER, Outcome, image_pull_error, named
from tests.apiserver.waiting import eventually


@pytest.fixture
def job(api: Api, namespace: str, node: FakeNode) -> Manifest:  # noqa: ARG001
    """A Job of the shape of a trial: an init container, a sidecar, a container that works."""
    containers = [_container("train")]
    init = [_container("fetch"), {**_container("keep"), "restartPolicy": "Always"}]
    pod = {"restartPolicy": "Never", "initContainers": init, "containers": containers}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "work", "namespace": namespace},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }


def _container(name: str) -> Manifest:
    return {"name": name, "image": f"dev.local/{name}:1", "securityContext": RESTRICTED}


def ended(api: Api, namespace: str) -> str:
    """`Complete` or `Failed` once the Job controller says so."""
    conditions = (api.get("Job", namespace, "work") or {}).get("status", {}).get("conditions", [])
    return next((c["type"] for c in conditions if c["type"] in ("Complete", "Failed")), "")


def only_pod(api: Api, namespace: str) -> Manifest | None:
    """The pod of the Job."""
    return next(iter(api.list("Pod", namespace)), None)


def test_job_completes_and_its_containers_left_messages_and_logs(
    api: Api, namespace: str, node: FakeNode, job: Manifest
) -> None:
    with node.script(named("keep", namespace=namespace), Outcome(message="kept", log="first\nlast\n")):
        api.create(job)
        assert eventually(lambda: ended(api, namespace), what="the Job ends") == "Complete"
    pod = only_pod(api, namespace)
    assert pod is not None
    states = {status["name"]: status["state"] for status in pod["status"]["initContainerStatuses"]}
    assert states["keep"]["terminated"]["message"] == "kept"
    assert states["fetch"]["terminated"]["exitCode"] == 0
    path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}/log"
    assert api.text("GET", path, query={"container": "keep"}) == "first\nlast\n"


@pytest.mark.parametrize("container", ["fetch", "train"])
def test_job_fails_with_a_container(api: Api, namespace: str, node: FakeNode, job: Manifest, container: str) -> None:
    with node.script(named(container, namespace=namespace), Outcome(exit_code=3)):
        api.create(job)
        assert eventually(lambda: ended(api, namespace), what="the Job ends") == "Failed"


def test_missing_image_waits_until_it_is_there(api: Api, namespace: str, node: FakeNode, job: Manifest) -> None:
    with node.script(named("train", namespace=namespace), image_pull_error("dev.local/train:1")):
        api.create(job)
        eventually(lambda: "ErrImagePull" in str(only_pod(api, namespace)), what="the pod waits for its image")
        assert not ended(api, namespace)
    assert eventually(lambda: ended(api, namespace), what="the Job ends") == "Complete"


def test_deleted_job_takes_its_running_pod_along(api: Api, namespace: str, node: FakeNode, job: Manifest) -> None:
    with node.script(named("train", namespace=namespace), FOREVER):
        api.create(job)
        pod = eventually(lambda: _running(only_pod(api, namespace)), what="the pod runs")
        api.delete("Job", namespace, "work")
        eventually(lambda: only_pod(api, namespace) is None, what="the pod is gone")
    with pytest.raises(RefusedError, match="not found"):
        api.text("GET", f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}/log")


def _running(pod: Manifest | None) -> Manifest | None:
    return pod if pod and pod.get("status", {}).get("phase") == "Running" else None
