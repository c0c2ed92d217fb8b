"""A real control plane for the whole session, a namespace of its own for each test."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.controlplane import ControlPlane
from tests.apiserver.api import Api
from tests.apiserver.audit import Audit
from tests.apiserver.cluster_setup import OPERATOR_USER, grant_operator_rights, install_crds
from tests.apiserver.fake_gateway import FakeGateway
from tests.apiserver.fake_kserve import FakeKServe
from tests.apiserver.fake_node import FakeNode
from tests.apiserver.operator_process import OperatorProcess
from tests.apiserver.track import GATEWAY, Track
from tests.apiserver.waiting import eventually
from tests.apiserver.write_limit import WriteLimit

NAMESPACE_NUMBERS = itertools.count(1)
OPEN_NAMESPACES: list[str] = []
"""Made and not deleted yet."""
WORKERS = 256
"""Of an operator behind the limit: a write that is held back holds a worker."""
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    """etcd, kube-apiserver and kube-controller-manager, with all CRDs and the operator's rights."""
    with ControlPlane() as plane:
        api = Api(plane.kubeconfig)
        install_crds(api)
        grant_operator_rights(api)
        yield plane


@pytest.fixture(scope="session")
def api(plane: ControlPlane) -> Api:
    """An administrator's connection."""
    return Api(plane.kubeconfig)


@pytest.fixture(scope="session")
def audit(plane: ControlPlane) -> Audit:
    """Who wrote what."""
    return Audit(plane.audit_log)


@pytest.fixture(scope="module", autouse=True)
def end_of_namespaces(api: Api) -> Iterator[None]:
    """What a module leaves goes: resources that nobody looks at any more are work for the operators that come."""
    yield
    while OPEN_NAMESPACES:
        api.delete("Namespace", "", OPEN_NAMESPACES.pop())


@pytest.fixture
def namespace(api: Api) -> Iterator[str]:
    """A namespace that takes only pods that keep to PodSecurity `restricted`."""
    name = new_namespace(api)
    yield name
    OPEN_NAMESPACES.remove(name)
    api.delete("Namespace", "", name)


@pytest.fixture(scope="session")
def node(plane: ControlPlane) -> Iterator[FakeNode]:
    """Where pods run, or seem to."""
    with FakeNode(plane) as node:
        yield node


@pytest.fixture(scope="session")
def serving(plane: ControlPlane, node: FakeNode) -> Iterator[None]:  # noqa: ARG001
    """KServe and a gateway, as far as the operator can see them."""
    kserve, gateway = (Api(plane.admin_kubeconfig_for(user)) for user in ("kserve", "gateway"))
    with FakeKServe(kserve), FakeGateway(gateway, GATEWAY):
        yield


def new_namespace(api: Api) -> str:
    """Make a namespace and wait until pods can be made in it."""
    name = f"test-{next(NAMESPACE_NUMBERS)}"
    OPEN_NAMESPACES.append(name)
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}})
    eventually(lambda: api.get("ServiceAccount", name, "default"), what=f"service account of {name}", every=0.02)
    return name


@pytest.fixture(scope="module")
def shared_operator(
    plane: ControlPlane,
    serving: None,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OperatorProcess]:
    """One operator for all tests of a module, with no more rights than the chart grants."""
    operator = OperatorProcess(plane.kubeconfig_for(OPERATOR_USER), tmp_path_factory.mktemp("operator") / "log")
    operator.start()
    operator.wait_ready()
    yield operator
    operator.close()


@pytest.fixture
def operator(shared_operator: OperatorProcess) -> Iterator[OperatorProcess]:
    """The operator; what it logs in a test is shown when the test fails."""
    seen = shared_operator.log.stat().st_size
    yield shared_operator
    print(shared_operator.log.read_bytes()[seen:].decode(errors="replace"))


@pytest.fixture(scope="module")
def limit(plane: ControlPlane, serving: None) -> Iterator[WriteLimit]:  # noqa: ARG001
    """What stands between an operator and the API server when it is to be killed after a certain write."""
    with WriteLimit(plane, OPERATOR_USER) as limit:
        yield limit


@pytest.fixture
def mortal_operator(limit: WriteLimit, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator behind the limit, not started yet."""
    operator = OperatorProcess(limit.kubeconfig, tmp_path / "log", workers=WORKERS)
    yield operator
    operator.close()
    print(operator.tail(400))


@pytest.fixture
def track(api: Api, namespace: str, operator: OperatorProcess) -> Track:  # noqa: ARG001
    """A track in a namespace of its own, and an operator that looks after it."""
    return Track(api, namespace)
