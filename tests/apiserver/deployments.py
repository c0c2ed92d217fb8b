"""ModelDeployments that the API server must take, and mistakes in them with the words it must refuse them with."""

from typing import Any

from keelway.api.base import Manifest
from tests.apiserver.refused_datasets import DURATION

IMAGE = "registry.example.com/serve:1"
TEMPLATE: Manifest = {"spec": {"containers": [{"name": "evaluate", "image": "registry.example.com/evaluate:1"}]}}
BOUND = "a check needs at least one of min, max and maxRegression"
LOW_ABOVE_HIGH = "a check's min must not be above its max"
RISING = "rollout.steps must have rising weights, for example 10, then 50"
NEEDS_IMAGE = "a container needs an image, for example {image: REGISTRY/NAME:TAG}"
PORT = "must be containerPort: 8080"


def gate(**changes: Any) -> Manifest:
    """A gate that asks for an AUC of 0.8."""
    checks = [{"metric": "auc", "min": 0.8}]
    return {"name": "holdout", "dataset": {"dataset": "churn"}, "template": TEMPLATE, "checks": checks, **changes}


def gated(*checks: Manifest) -> list[Manifest]:
    """One gate with these checks."""
    return [gate(checks=list(checks))]


def steps(*weights: int) -> Manifest:
    """A rollout with these steps."""
    return {"steps": [{"weight": weight} for weight in weights]}


def analysis(*checks: Manifest, url: str = "http://prometheus:9090", **changes: Any) -> Manifest:
    """A rollout that asks a Prometheus."""
    return {"analysis": {"prometheus": {"url": url, "checks": list(checks)}, **changes}}


def check(**changes: Any) -> Manifest:
    """A share of errors below one percent."""
    return {"name": "errors", "query": "up", "max": 0.01, **changes}


def without(field: str, manifest: Manifest) -> Manifest:
    """The same without one field."""
    return {name: value for name, value in manifest.items() if name != field}


def smoke(**request: Any) -> Manifest:
    """A rollout with one smoke request."""
    return {"smoke": {"requests": [{"path": "/v2/health/ready", **request}]}}


TAKEN: dict[str, tuple[str, Any]] = {
    "a wildcard route": (
        "spec.route",
        {"gateway": {"name": "public", "namespace": "infra"}, "hostnames": ["*.example.com"], "path": "/"},
    ),
    "a gate": ("spec.gates", [gate()]),
    "two gates": ("spec.gates", [gate(), gate(name="fairness")]),
    "a regression alone": ("spec.gates", gated({"metric": "auc", "maxRegression": 0})),
    "all bounds": ("spec.gates", gated({"metric": "a", "goal": "Minimize", "min": -1, "max": -1, "maxRegression": 2})),
    "a pinned split": ("spec.gates", [gate(dataset={"dataset": "churn", "version": "3", "split": "holdout"})]),
    "eight gates of sixteen checks": (
        "spec.gates",
        [gate(name=f"g{n}", checks=[{"metric": f"m{m}", "min": 0} for m in range(16)]) for n in range(8)],
    ),
    "approval by hand": ("spec.approval", {"mode": "Manual", "approved": "churn-v4"}),
    "approval to come": ("spec.approval", {"mode": "Manual"}),
    "no steps": ("spec.rollout", {"steps": []}),
    "the lowest and the highest weight": ("spec.rollout", steps(1, 99)),
    "a dark launch": ("spec.rollout", steps(0, 10)),
    "twenty steps": ("spec.rollout", steps(*range(1, 21))),
    "all at once": ("spec.rollout", {"strategy": "BlueGreen"}),
    "no hold-down": ("spec.rollout", {"holdDown": "0s", "soak": "0s"}),
    "an analysis": ("spec.rollout", analysis(check(), check(name="speed", min=0))),
    "a look each second": ("spec.rollout", analysis(check(), interval="1s", failureLimit=3)),
    "an analysis over TLS": ("spec.rollout", analysis(check(), url="https://prometheus.example.com/prefix/")),
    "a smoke request": ("spec.rollout", smoke(body='{"inputs": []}', method="PUT", expectStatus=404)),
    "a container": ("spec.serving", {"container": {"image": IMAGE, "ports": [{"containerPort": 8080}], "tty": True}}),
    "a container with more ports": (
        "spec.serving",
        {"container": {"image": IMAGE, "ports": [{"containerPort": 8080}, {"containerPort": 9000}]}},
    ),
    "no container": ("spec.serving", {"container": {}, "transformer": {}, "runtime": "kserve-mlserver"}),
    "a transformer before a runtime": ("spec.serving", {"transformer": {"image": IMAGE}, "runtime": "kserve-mlserver"}),
    "scheduling": (
        "spec.serving",
        {"scheduling": {"nodeSelector": {"gpu": "yes"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]}},
    ),
}
"""Path of a field and its value, by what it says."""

REFUSED_GATES: list[tuple[str, Any, str]] = [
    ("spec.gates", gated({"metric": "auc"}), BOUND),
    ("spec.gates", gated({"metric": "auc", "goal": "Minimize"}), BOUND),
    ("spec.gates", gated({"metric": "auc", "min": 2, "max": 1}), LOW_ABOVE_HIGH),
    ("spec.gates", gated({"metric": "auc", "maxRegression": -0.1}), "should be greater than or equal to 0"),
    ("spec.gates", gated({"min": 0.8}), "spec.gates[0].checks[0].metric: Required value"),
    ("spec.gates", gated({"metric": "", "min": 0.8}), "should be at least 1 chars long"),
    ("spec.gates", gated(), "spec.gates[0].checks in body should have at least 1 items"),
    ("spec.gates", [gate(), gate()], "Duplicate value"),
    ("spec.gates", [gate(name="Holdout")], "must consist of lower-case letters, digits and '-'"),
    ("spec.gates", [gate(template={})], "template must be a pod template with spec.containers"),
    ("spec.gates", [gate(timeout="soon")], DURATION),
    ("spec.gates", [without("dataset", gate())], "spec.gates[0].dataset: Required value"),
    ("spec.gates", [gate(name=f"g{number}") for number in range(9)], "must have at most 8 items"),
    ("spec.approval", {"mode": "Maybe"}, 'supported values: "Automatic", "Manual"'),
    ("spec.approval", {"approved": 4}, "spec.approval.approved in body must be of type string"),
]
REFUSED_ROLLOUTS: list[tuple[str, Any, str]] = [
    ("spec.rollout", {"soak": "ten minutes"}, DURATION),
    ("spec.rollout", {"strategy": "Shadow"}, 'supported values: "Canary", "BlueGreen"'),
    ("spec.rollout", steps(50, 10), RISING),
    ("spec.rollout", steps(10, 10), RISING),
    ("spec.rollout", steps(-1), "should be greater than or equal to 0"),
    ("spec.rollout", steps(100), "should be less than or equal to 99"),
    ("spec.rollout", steps(*range(1, 22)), "must have at most 20 items"),
    ("spec.rollout", {"steps": [{"hold": "1m"}]}, "spec.rollout.steps[0].weight: Required value"),
    ("spec.rollout", {"steps": [{"weight": 10, "hold": "a while"}]}, DURATION),
    ("spec.rollout", analysis(check(), interval="999ms"), "analysis.interval must be at least 1s"),
    ("spec.rollout", analysis(check(), interval="often"), DURATION),
    ("spec.rollout", analysis(check(), failureLimit=-1), "should be greater than or equal to 0"),
    ("spec.rollout", analysis(), "checks in body should have at least 1 items"),
    ("spec.rollout", analysis(without("max", check())), "a check needs min, max or both"),
    ("spec.rollout", analysis(check(min=1)), LOW_ABOVE_HIGH),
    ("spec.rollout", analysis(check(), check()), "Duplicate value"),
    ("spec.rollout", analysis(check(noData="Ignore")), 'supported values: "Wait", "Pass", "Fail"'),
    ("spec.rollout", analysis(check(), url="prometheus:9090"), "url must be that of a Prometheus server"),
    ("spec.rollout", smoke(path="v2/health/ready"), "path must begin with /, for example /v2/models/churn/infer"),
    ("spec.rollout", smoke(method="DELETE"), "Unsupported value"),
    ("spec.rollout", smoke(expectStatus=99), "should be greater than or equal to 100"),
    ("spec.rollout", {"smoke": {"maxLatency": "fast"}}, DURATION),
    ("spec.rollout", {"smoke": {"maxLatency": "0s"}}, "smoke.maxLatency must be more than 0s"),
]
REFUSED_SERVING: list[tuple[str, Any, str]] = [
    ("spec.serving", {"minReplicas": 3, "maxReplicas": 2}, "serving.minReplicas must not be above serving.maxReplicas"),
    ("spec.serving", {"minReplicas": 4}, "serving.minReplicas must not be above serving.maxReplicas"),
    ("spec.serving", {"protocol": "v3"}, 'supported values: "v1", "v2"'),
    (
        "spec.serving",
        {"container": {"image": IMAGE}, "runtime": "kserve-mlserver"},
        "serving.container is instead of serving.runtime: leave one of them out",
    ),
    ("spec.serving", {"container": {"command": ["serve"]}}, NEEDS_IMAGE),
    ("spec.serving", {"transformer": {"env": []}}, NEEDS_IMAGE),
    ("spec.serving", {"container": {"image": ""}}, "should be at least 1 chars long"),
    ("spec.serving", {"container": {"image": IMAGE, "ports": [{"containerPort": 9000}]}}, PORT),
    ("spec.serving", {"transformer": {"image": IMAGE, "ports": [{"name": "http"}]}}, PORT),
    ("spec.serving", {"scheduling": {"nodeSelector": {"gpu": 1}}}, "must be of type string"),
]
REFUSED_DEPLOYMENTS: list[tuple[str, Any, str]] = [
    ("spec.model.version", "latest", 'model.version must be a version\'s number such as "4", or empty'),
    ("spec.model", {}, "spec.model.name: Required value"),
    ("spec.route", {"hostnames": ["a.example.com"]}, "spec.route.gateway: Required value"),
    ("spec.route", {"gateway": {"name": "a"}, "path": "churn"}, "route.path must begin with /, for example /churn"),
    (
        "spec.route",
        {"gateway": {"name": "a"}, "hostnames": ["http://a.example.com/"]},
        "hostnames are DNS names without scheme, port or path, for example churn.example.com",
    ),
    ("spec.modle", {}, 'unknown field "spec.modle"'),
    ("metadata.name", "1churn", "metadata.name must begin with a letter"),
    ("metadata.name", "churn.v1", "metadata.name must begin with a letter"),
    ("metadata.name", "c" * 64, "at most 63"),
    *REFUSED_SERVING,
    *REFUSED_GATES,
    *REFUSED_ROLLOUTS,
]
