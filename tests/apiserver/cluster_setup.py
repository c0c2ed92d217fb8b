"""What a test's control plane needs before an operator can work: CRDs, and the rights that the chart grants."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from dev import release
from dev.gobuild import module_dir
from dev.places import ROOT
from keelway.api.base import Manifest
from tests.apiserver.api import APPLY, Api, RefusedError, path_of
from tests.apiserver.waiting import eventually

OPERATOR_USER = "keelway-operator"
GATEWAY_API = ("gateways", "httproutes")
GRANTS = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


def install_crds(api: Api) -> None:
    """Ours, KServe's InferenceService and the Gateway API's routes; returns when all are served."""
    files = {_name(file): file for file in _files()}
    for name, file in files.items():
        # As text: KServe's is 2 MB, which takes seconds to read here and none there.
        query = {"fieldManager": "test", "force": "true"}
        path = path_of("CustomResourceDefinition", name=name)
        api.text("PATCH", path, body=file.read_bytes(), query=query, content_type=APPLY)
    for name in files:
        eventually(partial(_is_served, api, name), what=f"the API server serves {name}")


def _files() -> Iterator[Path]:
    yield from (ROOT / "crds").glob("*.yaml")
    yield module_dir("kserve", "github.com/kserve/kserve") / "config/crd/full/serving.kserve.io_inferenceservices.yaml"
    gateway = module_dir("gateway-api", "sigs.k8s.io/gateway-api") / "config/crd/standard"
    yield from (gateway / f"gateway.networking.k8s.io_{plural}.yaml" for plural in GATEWAY_API)


def _name(file: Path) -> str:
    """`datasets.keelway.dev` for `keelway.dev_datasets.yaml`, as controller-gen names its files, and we ours."""
    group, _, plural = file.stem.rpartition("_")
    return f"{plural}.{group}"


def _is_served(api: Api, name: str) -> bool:
    plural, _, group = name.partition(".")
    try:
        version = api.request("GET", f"/apis/{group}")["preferredVersion"]["groupVersion"]
        return any(served["name"] == plural for served in api.request("GET", f"/apis/{version}")["resources"])
    except RefusedError:
        return False


def grant_operator_rights(api: Api) -> None:
    """Bind the roles of the Helm chart to the user as whom the tests run the operator: no more than in a cluster."""
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": release.NAMESPACE}})
    for manifest in release.render({}):
        if manifest["kind"] in GRANTS:
            api.apply(_for_user(manifest))


def _for_user(manifest: Manifest) -> Manifest:
    if "subjects" not in manifest:
        return manifest
    subject = {"kind": "User", "name": OPERATOR_USER, "apiGroup": "rbac.authorization.k8s.io"}
    return {**manifest, "subjects": [subject]}
