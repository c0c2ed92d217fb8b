"""Looking at resources while they get ready: one line that sums up each, and the evidence when one does not."""

import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeAlias

from dev.errors import DevError
from dev.platform.kubectl import Kubectl
from dev.progress import console
from dev.release import NAMESPACE, RELEASE

Manifest = dict[str, Any]

Until: TypeAlias = Callable[[Manifest], object]

POLL_SECONDS = 0.5


def get(cluster: Kubectl, kind: str, name: str, namespace: str) -> Manifest:
    """One object. Raises DevError when it is not there."""
    found: Manifest = json.loads(cluster.kubectl("get", kind, name, f"--namespace={namespace}", "--output=json"))
    return found


def condition(resource: Manifest, type_: str) -> Manifest:
    """One condition of a resource, provided it speaks of the present spec; else an empty one."""
    generation = resource["metadata"].get("generation", 0)
    conditions = resource.get("status", {}).get("conditions", [])
    current = [c for c in conditions if c["type"] == type_ and c.get("observedGeneration", 0) >= generation]
    return current[0] if current else {}


def is_ready(resource: Manifest) -> bool:
    """Whether the resource is as its present spec says."""
    return condition(resource, "Ready").get("status") == "True"


def newest(resource: Manifest, part: str) -> int:
    """The version in a part of the status; 0 while there is none."""
    return int(resource.get("status", {}).get(part, {}).get("version", 0))


def summary(resource: Manifest) -> str:
    """The resource's standing in one line, with the counts that say how far it is."""
    ready = condition(resource, "Ready")
    if not ready:
        return "not seen by the operator yet"
    trials = resource.get("status", {}).get("run", {}).get("trials", {}).get("progress", "")
    counted = f" ({trials} trials)" if trials else ""
    return f"{ready['reason']}{counted}: {ready.get('message', '')}"


def wait_for(
    cluster: Kubectl,
    kind: str,
    name: str,
    namespace: str,
    *,
    seconds: float,
    until: Until = is_ready,
    tell: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Poll a resource until `until` holds; `tell` gets each new summary.

    Raises DevError with the evidence when that takes longer than `seconds`.
    """
    deadline, last = time.monotonic() + seconds, ""
    while True:
        resource = get(cluster, kind, name, namespace)
        done = until(resource)
        if (now := summary(resource)) != last:
            tell(now)
            last = now
        if done:
            return resource
        if time.monotonic() > deadline:
            seen = evidence(cluster, namespace)
            raise DevError(f"{kind}/{name} did not get there within {seconds:g} s, last seen: {last}", hint=seen)
        time.sleep(POLL_SECONDS)


def follow(cluster: Kubectl, manifest: Manifest, *, seconds: float, until: Until = is_ready) -> Manifest:
    """Wait for a resource while each change of its standing is printed."""
    kind, name, namespace = manifest["kind"].lower(), manifest["metadata"]["name"], manifest["metadata"]["namespace"]
    console.print(f"{kind}/{name}")
    started = time.monotonic()

    def tell(line: str) -> None:
        console.print(f"  {time.monotonic() - started:5.1f} s  {line}", markup=False, soft_wrap=True)

    spinner = console.status(f"{kind}/{name}") if console.is_terminal else nullcontext()
    with spinner:
        return wait_for(cluster, kind, name, namespace, seconds=seconds, until=until, tell=tell)


def evidence(cluster: Kubectl, namespace: str) -> str:
    """What somebody would ask for first: resources, pods, events, the operator's last words."""
    questions = {
        "resources": ("get", "keelway", "-owide", f"-n{namespace}"),
        "pods": ("get", "pods", "-owide", f"-n{namespace}"),
        "events": ("get", "events", "--sort-by=.lastTimestamp", f"-n{namespace}"),
        "operator": ("logs", f"deployment/{RELEASE}", "--tail=40", f"-n{NAMESPACE}"),
        "operator's pod": ("describe", "pods", f"-n{NAMESPACE}"),
    }
    return "\n".join(f"--- {title}\n{_answer(cluster, question)}" for title, question in questions.items())


def _answer(cluster: Kubectl, question: tuple[str, ...]) -> str:
    try:
        return "\n".join(cluster.kubectl(*question).splitlines()[-40:])
    except DevError as error:
        return str(error)
