"""Versions on their way to the traffic: data that judge, Jobs that end with verdicts, metrics, time that passes."""

from __future__ import annotations

from typing import Any

from keelway.api.base import Manifest
from keelway.api.jobs import StageVerdict
from keelway.api.judging import MeasureVerdict, SmokeVerdict
from keelway.api.kinds import Key
from keelway.engine.objects import uid_of
from keelway.lifecycle.jobs import has_ended
from keelway.lifecycle.plan import MetricAnswer
from tests.unit.lifecycle.builders import (
    DATASET,
    DEPLOYMENT,
    NAMESPACE,
    a_dataset,
    a_dataset_version,
    a_model_version,
    a_route,
)
from tests.unit.lifecycle.pods import Ended, an_ended_pod_of, ends
from tests.unit.lifecycle.scene import Scene
from tests.unit.lifecycle.servers import candidate, get_ready, play, serving

AUC = {"metric": "auc", "min": 0.8}
SMOKE = {"requests": [{"path": "/v2/models/churn/infer", "body": "{}"}]}
STEPS = [{"weight": 10, "hold": "1m"}, {"weight": 50, "hold": "2m"}]


def a_gate(
    name: str = "holdout", *checks: Manifest, image: str = "registry.example.com/judge:1", **fields: Any
) -> Manifest:
    """A gate on the split that nobody trains on."""
    template = {"spec": {"containers": [{"name": "judge", "image": image}]}}
    data = {"dataset": "churn", "split": "holdout"}
    return {"name": name, "dataset": data, "template": template, "checks": list(checks or (AUC,)), **fields}


def an_analysis(*checks: Manifest, **fields: Any) -> Manifest:
    """Errors per request, asked every 15 s."""
    errors = {"name": "errors", "query": 'sum(errors{service="{{service}}"})', "max": 0.01}
    return {"prometheus": {"url": "http://prometheus:9090", "checks": list(checks or (errors,))}, **fields}


def challenged(*, route: bool = True, **spec: Any) -> Scene:
    """Version 1 is live; version 2, under this spec, is verified and at what comes then."""
    scene = serving(1, **({"route": a_route()} if route else {}))
    scene.change(DEPLOYMENT, **spec)
    scene.put(a_dataset())
    new_data(scene, 1)
    scene.put(a_model_version(2))
    play(scene)
    return scene


def sharing(**rollout: Any) -> Scene:
    """Version 2 has its first share of the traffic, version 1 the rest."""
    scene = challenged(rollout={"steps": STEPS, **rollout})
    get_ready(scene, candidate(scene))
    play(scene)
    return scene


def new_data(scene: Scene, number: int, *, splits: tuple[str, ...] = ("train", "holdout")) -> Key:
    """A version of the data is recorded and good."""
    version = a_dataset_version(number, f"edition {number}", uid=uid_of(scene.get(DATASET)), splits=splits)
    key = Key("DatasetVersion", NAMESPACE, version["metadata"]["name"])
    files = {"name": version["spec"]["manifest"]["ref"]["configMap"], "namespace": NAMESPACE}
    scene.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": files})
    scene.put(version)
    scene.say(DATASET, lastGood={"version": number, "name": key.name, "digest": version["spec"]["digest"]})
    return key


# Jobs


def jobs(scene: Scene, role: str) -> list[Manifest]:
    """Jobs for this, by what their names say: `verify`, `smoke`, `holdout-v2`. Those that have ended, too."""
    return [job for job in scene.all("Job") if f"-{role}-" in job["metadata"]["name"]]


def working(scene: Scene, role: str = "") -> list[Manifest]:
    """Jobs that have not ended."""
    return [job for job in (jobs(scene, role) if role else scene.all("Job")) if not has_ended(job)]


def _end(scene: Scene, role: str, containers: dict[str, Ended], reason: str = "", **how: Any) -> None:
    (job,) = working(scene, role)
    an_ended_pod_of(scene, job, containers, **how)
    ends(scene, job, reason)
    play(scene)


def verification_ends(scene: Scene, reason: str = "", message: str = "as the case says") -> None:
    """The verification finds the recorded bytes, or this."""
    verdict = StageVerdict(outcome="Failed" if reason else "Staged", reason=reason, message=message, files=2, bytes=48)
    ended = Ended(int(bool(reason)), verdict.model_dump_json())
    _end(scene, "verify", {"stage": ended}, "BackoffLimitExceeded" if reason else "")


def gate_ends(scene: Scene, version: int = 2, gate: str = "holdout", /, **metrics: float) -> None:
    """An evaluation ends with these metrics."""
    verdict = MeasureVerdict(outcome="Measured", metrics=metrics)
    gate_ends_with(scene, version, gate, measure=Ended(message=verdict.model_dump_json()))


def gate_ends_with(
    scene: Scene,
    version: int = 2,
    gate: str = "holdout",
    *,
    stage: Ended | None = None,
    judge: Ended | None = None,
    measure: Ended | None = None,
    reason: str = "",
    evicted: bool = False,
) -> None:
    """An evaluation's Job ends like this; what is not mentioned went well and said nothing."""
    staged = stage or Ended(message=StageVerdict(outcome="Staged").model_dump_json())
    containers = {"stage": staged}
    if not staged.code:
        containers |= {"measure": measure or Ended(), "judge": judge or Ended()}
    failed = any(ended.code for ended in containers.values())
    _end(
        scene,
        f"{gate}-v{version}",
        containers,
        reason or ("BackoffLimitExceeded" if failed or evicted else ""),
        evicted=evicted,
    )


def smoke_ends(scene: Scene, message: str = "", reason: str = "SmokeFailed") -> None:
    """The smoke requests are answered, or the first that is not is told of."""
    verdict = SmokeVerdict(
        outcome="Failed" if message else "Answered", reason=reason if message else "", message=message
    )
    ended = Ended(int(bool(message)), verdict.model_dump_json())
    _end(scene, "smoke", {"smoke": ended}, "BackoffLimitExceeded" if message else "")


def disrupted(scene: Scene, role: str, container: str) -> None:
    """A Job's pod is evicted and the Job has no other."""
    _end(scene, role, {container: Ended(137)}, "BackoffLimitExceeded", evicted=True)
    forget_evidence(scene)


def forget_evidence(scene: Scene) -> None:
    """So much time passes that a verdict that is still missing counts as lost."""
    scene.wait(15)
    play(scene)


# metrics and time


def measures(scene: Scene, *values: float) -> None:
    """Prometheus answers every query with these series from now on."""
    scene.prometheus = lambda _: MetricAnswer(values=values)


def fails(scene: Scene, error: str = "connection refused") -> None:
    """Prometheus does not answer from now on."""
    scene.prometheus = lambda _: MetricAnswer(error=error)


def passes(scene: Scene, seconds: float, every: float = 5) -> list[str]:
    """Time passes, with a look every few seconds. The reasons of plans that wrote."""
    reasons: list[str] = []
    while seconds > 0:
        scene.wait(min(every, seconds))
        seconds -= every
        reasons += play(scene)
    return reasons


def failed_stage(reason: str) -> Ended:
    """`stage` says what is wrong."""
    return Ended(1, StageVerdict(outcome="Failed", reason=reason, message="as the case says").model_dump_json())


# what can be seen


def phase(scene: Scene) -> str:
    """Of the candidate; nothing where there is none."""
    return str((scene.status(DEPLOYMENT).get("candidate") or {}).get("phase", ""))


def of_candidate(scene: Scene) -> Manifest:
    """What the status says of the candidate."""
    found: Manifest = scene.status(DEPLOYMENT)["candidate"]
    return found


def gate(scene: Scene, name: str = "holdout") -> Manifest:
    """How the candidate stands at a gate."""
    found: Manifest = next(result for result in of_candidate(scene)["gates"] if result["name"] == name)
    return found


def shares(scene: Scene) -> dict[int, int]:
    """Weights of the route by version, as the status calls them, where both agree."""
    status, route = scene.status(DEPLOYMENT), scene.only("HTTPRoute")["spec"]["rules"][-1]["backendRefs"]
    parts = [status.get(part) for part in ("live", "candidate", "soaking")]
    versions = {f"{part['inferenceService']}-predictor": part for part in parts if part}
    assert sum(backend["weight"] for backend in route) == 100
    for backend in route:
        assert versions[backend["name"]].get("weight", 0) == backend["weight"], "the status says what the route does"
    return {versions[backend["name"]]["version"]: backend["weight"] for backend in route}


def dark(scene: Scene) -> str:
    """The InferenceService that gets the requests which ask for the candidate by header."""
    first = scene.only("HTTPRoute")["spec"]["rules"][0]
    headers = first["matches"][0].get("headers")
    return str(first["backendRefs"][0]["name"]).removesuffix("-predictor") if headers else ""


def history(scene: Scene) -> list[tuple[int, str, str]]:
    """Version, outcome and reason of every line, newest first."""
    return [(line["version"], line["outcome"], line.get("reason", "")) for line in scene.status(DEPLOYMENT)["history"]]


def clear(scene: Scene) -> None:
    """Forget what was written and told so far."""
    scene.writes.clear()
    scene.events.clear()


def settled(scene: Scene) -> bool:
    """Whether another look changes nothing."""
    scene.events.clear()
    return scene.settle(DEPLOYMENT) == [] and scene.events == []
