"""The Helm chart: what it renders to, what it refuses, and what it lets the operator do."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from dev import release
from dev.places import ROOT
from dev.release import CHART, NAMESPACE
from keelway.api.kinds import KINDS, OWN_KINDS, Kind
from keelway.settings import Settings

Manifest = dict[str, Any]

MATRIX: dict[str, Manifest] = {
    "defaults": {},
    "two namespaces": {"watchNamespaces": ["team-a", "team-b"]},
    "without CRDs": {"crds": {"install": False}},
    "CRDs go with the release": {"crds": {"keep": False}},
    "own ServiceAccount": {"serviceAccount": {"create": False, "name": "platform"}},
    "roles made elsewhere": {"rbac": {"create": False, "aggregateToUserRoles": False}},
    "images by digest from a private registry": {
        "image": {"repository": "registry.example.com/keelway/operator", "digest": f"sha256:{'a' * 64}"},
        "workerImage": {"repository": "registry.example.com/keelway/worker", "digest": f"sha256:{'b' * 64}"},
        "imagePullSecrets": [{"name": "registry"}],
    },
    "everything about the pod": {
        "podAnnotations": {"example.com/team": "platform"},
        "podLabels": {"team": "platform"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "infra", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "system-cluster-critical",
        "logLevel": "debug",
        "healthPort": 9000,
        "metrics": {"scrapeAnnotations": False},
        "resources": {"limits": {"memory": "1Gi"}},
    },
}

matrix = pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())


def render(values: Manifest) -> list[Manifest]:
    """The objects of an install, rendered once for each set of values."""
    return _rendered(json.dumps(values, sort_keys=True))


@cache
def _rendered(values: str) -> list[Manifest]:
    return release.render(json.loads(values))


def of_kind(documents: list[Manifest], *kinds: str) -> list[Manifest]:
    return [document for document in documents if document["kind"] in kinds]


def operator_pod(values: Manifest) -> Manifest:
    (deployment,) = of_kind(render(values), "Deployment")
    template: Manifest = deployment["spec"]["template"]
    return template


def operator_rules(values: Manifest) -> list[Manifest]:
    """Rules of the roles that are bound to the operator's ServiceAccount, without those that only users get."""
    documents = render(values)
    bound = {binding["roleRef"]["name"] for binding in of_kind(documents, "RoleBinding", "ClusterRoleBinding")}
    roles = [role for role in of_kind(documents, "Role", "ClusterRole") if role["metadata"]["name"] in bound]
    return [rule for role in roles for rule in role["rules"]]


def verbs_on(kind: Kind, rules: list[Manifest], subresource: str = "") -> set[str]:
    resource = f"{kind.plural}/{subresource}" if subresource else kind.plural
    granting = [rule for rule in rules if kind.group in rule["apiGroups"] and resource in rule["resources"]]
    return {verb for rule in granting for verb in rule["verbs"]}


@matrix
def test_renders_objects_that_name_their_release(values: Manifest) -> None:
    documents = render(values)
    named = [document for document in documents if document["kind"] != "CustomResourceDefinition"]
    assert len(of_kind(named, "Deployment")) == 1
    for document in named:
        assert document["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
        assert document["metadata"]["labels"]["app.kubernetes.io/instance"] == "keelway"


@matrix
def test_no_two_objects_have_one_name(values: Manifest) -> None:
    documents = render(values)
    names = [(d["kind"], d["metadata"].get("namespace", ""), d["metadata"]["name"]) for d in documents]
    assert sorted(names) == sorted(set(names))


def test_helm_finds_nothing_to_complain_about() -> None:
    report = helm_python.lint(str(CHART))
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


@matrix
def test_pod_passes_the_restricted_standard(values: Manifest) -> None:
    pod = operator_pod(values)["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert {key for volume in pod["volumes"] for key in volume} <= {"name", "emptyDir"}
    for container in pod["containers"] + pod.get("initContainers", []):
        security = container["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert all("hostPort" not in port for port in container["ports"])


@matrix
def test_probes_and_metrics_meet_on_the_health_port(values: Manifest) -> None:
    template = operator_pod(values)
    (operator,) = template["spec"]["containers"]
    port = values.get("healthPort", 8080)
    assert operator["ports"] == [{"name": "health", "containerPort": port}]
    assert operator["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "health"}
    assert operator["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
    assert {"name": "KEELWAY_HEALTH_PORT", "value": str(port)} in operator["env"]
    annotated = template["metadata"]["annotations"].get("prometheus.io/port")
    assert annotated == (str(port) if values.get("metrics", {}).get("scrapeAnnotations", True) else None)


def test_images_fall_back_to_the_release_of_the_chart() -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    (operator,) = operator_pod({})["spec"]["containers"]
    assert operator["image"].endswith(f":{version}")
    assert worker_image(operator).endswith(f":{version}")


def test_a_digest_wins_over_a_tag() -> None:
    values = {kind: {"repository": f"r/{kind.lower()}", "tag": "1", "digest": f"sha256:{'c' * 64}"} for kind in IMAGES}
    (operator,) = operator_pod(values)["spec"]["containers"]
    assert operator["image"] == f"r/image@sha256:{'c' * 64}"
    assert worker_image(operator) == f"r/workerimage@sha256:{'c' * 64}"


IMAGES = ("image", "workerImage")


@matrix
def test_the_operator_understands_its_environment(values: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    (operator,) = operator_pod(values)["spec"]["containers"]
    given = {entry["name"]: entry.get("value", NAMESPACE) for entry in operator["env"]}
    assert {name.removeprefix("KEELWAY_").lower() for name in given} <= Settings.model_fields.keys()
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.worker_image == worker_image(operator)
    assert settings.watch_namespaces == tuple(values.get("watchNamespaces", ()))
    assert settings.log_level == values.get("logLevel", "info").upper()
    assert settings.health_port == values.get("healthPort", 8080)
    assert settings.namespace == NAMESPACE


def test_the_operator_may_hold_its_own_lease_and_no_other() -> None:
    rules = [rule for rule in operator_rules({}) if rule["resources"] == ["leases"]]
    assert [(rule["verbs"], rule.get("resourceNames")) for rule in rules] == [
        (["create"], None),
        (["get", "update"], [Settings.model_fields["lease_name"].default]),
    ]


def worker_image(operator: Manifest) -> str:
    (value,) = [entry["value"] for entry in operator["env"] if entry["name"] == "KEELWAY_WORKER_IMAGE"]
    return str(value)


@matrix
def test_roles_hold_no_secret_and_no_wildcard(values: Manifest) -> None:
    for role in of_kind(render(values), "Role", "ClusterRole"):
        for rule in role["rules"]:
            granted = rule["apiGroups"] + rule["resources"] + rule["verbs"]
            assert not [word for word in granted if "*" in word], role["metadata"]["name"]
            assert "secrets" not in rule["resources"], role["metadata"]["name"]
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("values", [{}, MATRIX["two namespaces"]], ids=["cluster", "namespaces"])
def test_operator_may_watch_every_kind_it_knows(values: Manifest, kind: Kind) -> None:
    assert {"list", "watch"} <= verbs_on(kind, operator_rules(values))


@pytest.mark.parametrize("kind", OWN_KINDS, ids=lambda kind: kind.name)
def test_operator_writes_status_and_never_the_spec_of_what_people_declare(kind: Kind) -> None:
    rules = operator_rules({})
    assert verbs_on(kind, rules, "status") == {"patch"}
    assert not verbs_on(kind, rules) & {"update", "patch"}
    if not kind.name.endswith("Version"):
        assert not verbs_on(kind, rules) & {"create", "delete"}


def test_operator_looks_at_pods_and_deployments_and_ends_pods_of_stopped_trials() -> None:
    rules = operator_rules({})
    assert verbs_on(KINDS["Deployment"], rules) == {"list", "watch"}
    assert verbs_on(KINDS["Pod"], rules) == {"list", "watch", "delete"}
    assert verbs_on(KINDS["Pod"], rules, "log") == {"get"}


@pytest.mark.parametrize("kind", ["Job", "ConfigMap", "InferenceService", "HTTPRoute", "PodDisruptionBudget"])
def test_operator_may_take_away_what_it_has_made(kind: str) -> None:
    assert {"create", "delete"} <= verbs_on(KINDS[kind], operator_rules({}))


def test_watched_namespaces_get_roles_and_nothing_reaches_further() -> None:
    documents = render(MATRIX["two namespaces"])
    assert of_kind(documents, "ClusterRoleBinding") == []
    roles = of_kind(documents, "Role")
    assert {role["metadata"]["namespace"] for role in roles} == {"team-a", "team-b", NAMESPACE}
    (operator,) = operator_pod(MATRIX["two namespaces"])["spec"]["containers"]
    assert {"name": "KEELWAY_WATCH_NAMESPACES", "value": "team-a,team-b"} in operator["env"]


def test_every_binding_names_the_account_that_the_pod_runs_as() -> None:
    for values in MATRIX.values():
        account = operator_pod(values)["spec"]["serviceAccountName"]
        for binding in of_kind(render(values), "RoleBinding", "ClusterRoleBinding"):
            assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}]


def test_users_of_the_cluster_roles_view_and_edit_get_the_kinds() -> None:
    roles = {role["metadata"]["name"]: role for role in of_kind(render({}), "ClusterRole")}
    view, edit = roles["keelway-view"], roles["keelway-edit"]
    assert view["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    for kind in OWN_KINDS:
        assert verbs_on(kind, view["rules"]) == {"get", "list", "watch"}
        assert "delete" in verbs_on(kind, edit["rules"])


REFUSED: dict[str, tuple[Manifest, str]] = {
    "an unknown value": ({"replicas": 2}, "replicas"),
    "a misspelt image": ({"image": {"repo": "x"}}, "repo"),
    "a tag in the repository's place": ({"image": {"tag": "not a tag"}}, "/image/tag"),
    "a digest that is not one": ({"workerImage": {"digest": "latest"}}, "/workerImage/digest"),
    "an unknown log level": ({"logLevel": "chatty"}, "/logLevel"),
    "a privileged port": ({"healthPort": 80}, "/healthPort"),
    "a namespace as a text": ({"watchNamespaces": "team-a"}, "/watchNamespaces"),
    "a namespace in capitals": ({"watchNamespaces": ["Team"]}, "/watchNamespaces/0"),
    "no ServiceAccount at all": ({"serviceAccount": {"create": False}}, "/serviceAccount"),
    "an annotation that is a number": ({"podAnnotations": {"a": 1}}, "/podAnnotations/a"),
}


@pytest.mark.parametrize(("values", "where"), REFUSED.values(), ids=REFUSED.keys())
def test_schema_refuses_and_says_where(values: Manifest, where: str) -> None:
    with pytest.raises(helm_python.HelmError) as refusal:
        render(values)
    assert where in str(refusal.value)


def test_crds_are_those_of_the_api() -> None:
    committed = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]
    assert {crd["spec"]["names"]["kind"] for crd in committed} == {kind.name for kind in OWN_KINDS}
    rendered = of_kind(render({"crds": {"keep": False}}), "CustomResourceDefinition")
    assert sorted(rendered, key=crd_name) == sorted(committed, key=crd_name)


def crd_name(crd: Manifest) -> str:
    return str(crd["metadata"]["name"])


def test_crds_outlive_the_release_unless_told_otherwise() -> None:
    kept = of_kind(render({}), "CustomResourceDefinition")
    assert [crd["metadata"]["annotations"]["helm.sh/resource-policy"] for crd in kept] == ["keep"] * len(OWN_KINDS)
    assert of_kind(render({"crds": {"install": False}}), "CustomResourceDefinition") == []


def test_chart_and_package_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert f'version = "{chart["version"]}"' in Path(ROOT / "pyproject.toml").read_text()
    assert chart["appVersion"] == chart["version"]
