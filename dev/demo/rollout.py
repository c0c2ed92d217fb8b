"""A rollout as it is watched from outside: what the ModelDeployment says, and who answers the load meanwhile."""

import time
from dataclasses import dataclass, field

from dev.demo.examples import Manifest
from dev.demo.load import Load, Tally
from dev.demo.resources import follow, get, newest
from dev.errors import DevError
from dev.platform.kubectl import Kubectl
from dev.progress import console

SHOWN_EVERY = 5.0
"""Seconds between two lines of counts."""
TOLERANCE = 8.0
"""Percentage points by which counted shares may differ from the weight: status and gateway change at two moments."""
REFUSED = ("Rejected", "RolledBack")


@dataclass(frozen=True)
class Stretch:
    """A time in which the weights stayed as they were, with what was answered in it."""

    weight: int
    """Of the candidate, percent."""
    tally: Tally
    seconds: float


@dataclass
class Watch:
    """Notes the weights of a rollout, and prints the counts while a candidate has traffic."""

    load: Load
    version: int
    """The one that wants to take over."""
    stretches: list[Stretch] = field(default_factory=list)
    weight: int = 0
    began: float = field(default_factory=time.monotonic)
    shown: float = field(default_factory=time.monotonic)

    def note(self, deployment: Manifest) -> None:
        """Take a look into account."""
        now, weight, said = time.monotonic(), weight_of(deployment, self.version), looks(deployment)
        if weight != self.weight:
            self._show(now, said)
            self._close(now)
            self.weight = weight
        elif self.weight and now - self.shown >= SHOWN_EVERY:
            self._show(now, said)

    def end(self) -> None:
        """The last stretch ends now."""
        self._close(time.monotonic())

    def weights(self) -> list[int]:
        """The candidate's shares of the traffic, one after the other."""
        return [stretch.weight for stretch in self.stretches]

    def _show(self, now: float, said: str) -> None:
        if self.weight:
            console.print(f"           {self.load.between(self.shown, now)}{said}", markup=False, soft_wrap=True)
        self.shown = now

    def _close(self, now: float) -> None:
        self.stretches.append(Stretch(self.weight, self.load.between(self.began, now), now - self.began))
        self.began = now


def weight_of(deployment: Manifest, version: int) -> int:
    """The percentage of the traffic that a version has now, by the ModelDeployment's own account."""
    status = deployment.get("status", {})
    for part in ("candidate", "live"):
        if (found := status.get(part, {})).get("version") == version:
            return int(found.get("weight", 0))
    return 0


def looks(deployment: Manifest) -> str:
    """What the analysis of a candidate found at its last look, as the end of a line."""
    analysis = deployment.get("status", {}).get("candidate", {}).get("analysis", {})
    found = ", ".join(one["message"] for one in analysis.get("last", []))
    return f"; look {analysis['round']}: {found}" if found else ""


def is_decided(deployment: Manifest, version: int) -> bool:
    """Whether a version, or a later one, takes the traffic, or does not get it."""
    candidate = deployment.get("status", {}).get("candidate", {})
    is_refused = candidate.get("version") == version and candidate.get("phase") in REFUSED
    return is_refused or newest(deployment, "live") >= version


def watched(cluster: Kubectl, deployment: Manifest, watch: Watch, *, seconds: float) -> Manifest:
    """Follow a rollout until it is decided; gives the ModelDeployment then."""

    def decided(resource: Manifest) -> bool:
        watch.note(resource)
        return is_decided(resource, watch.version)

    resource = follow(cluster, deployment, seconds=seconds, until=decided)
    watch.end()
    return resource


def require_promoted(deployment: Manifest, watch: Watch) -> None:
    """Raises DevError unless the version went through all steps, each with its share, and no request failed."""
    candidate = deployment["status"].get("candidate", {})
    if newest(deployment, "live") < watch.version:
        raise DevError(f"version {watch.version} is {candidate.get('phase')}: {candidate.get('message')}")
    steps = [step["weight"] for step in deployment["spec"]["rollout"]["steps"]]
    if watch.weights()[:-1] != [0, *steps]:
        raise DevError(
            f"the weights of version {watch.version} were {watch.weights()}, and should be {steps}, then 100"
        )
    for stretch in watch.stretches[1:-1]:
        counted = stretch.tally.percent(str(watch.version))
        if abs(counted - stretch.weight) > TOLERANCE:
            raise DevError(f"{counted:.1f} % of the answers came from it at {stretch.weight} %: {stretch.tally}")
    if watch.load.failures:
        raise DevError(f"requests failed in a rollout that went well: {Tally.of(watch.load.failures)}")


def require_rolled_back(deployment: Manifest, watch: Watch, *, before: int) -> None:
    """Raises DevError unless the version passed its gate, had traffic, lost it by analysis, and failed alone."""
    candidate, tried = deployment["status"].get("candidate", {}), f"version {watch.version}"
    why = f"{candidate.get('phase')}, {candidate.get('reason')}: {candidate.get('message')}"
    if candidate.get("version") != watch.version or candidate.get("reason") != "AnalysisFailed":
        raise DevError(f"{tried} should have been rolled back by analysis; the candidate is {why}")
    if [gate["state"] for gate in candidate.get("gates", [])] != ["Passed"]:
        raise DevError(f"{tried} should have passed its gate: {candidate.get('gates')}")
    if newest(deployment, "live") != before:
        raise DevError(f"version {before} should serve still, and {newest(deployment, 'live')} does")
    tally = Tally.of(watch.load.failures)
    if tally.failed.keys() != {str(watch.version)}:
        raise DevError(f"requests should have failed by {tried}, and by nobody else: {tally}")


def gates_passed(deployment: Manifest) -> str:
    """The candidate's gates with their numbers, in words."""
    gates = deployment["status"]["candidate"].get("gates", [])
    return "; ".join(f"{gate['name']} on {gate['datasetVersion']}: {gate['message']}" for gate in gates)


def harm(watch: Watch) -> str:
    """What a version did to clients until it was rolled back, in words: for how long, and how many requests failed."""
    load, tried = watch.load, str(watch.version)
    failed = [answer.at for answer in load.failures if answer.version == tried]
    others = Tally.of(answer for answer in load.everything if answer.version != tried)
    had_traffic = sum(stretch.seconds for stretch in watch.stretches if stretch.weight)
    return (
        f"version {tried} was back at weight 0 after {had_traffic:.1f} s with traffic; {len(failed)} of {load.count} "
        f"requests failed, all of version {tried}, {max(failed) - min(failed):.1f} s from the first to the last\n"
        f"all others: {others}"
    )


def gate_numbers(cluster: Kubectl, deployment: Manifest, *versions: int) -> list[str]:
    """What the gate's evaluator found of versions of the model on the newest data that it judged by, in words.

    Raises DevError where a version has not been judged on the same data as the first one.
    """
    model, namespace = deployment["spec"]["model"]["name"], deployment["metadata"]["namespace"]
    found = [get(cluster, "modelversion", f"{model}-v{version}", namespace) for version in versions]
    judged = [record.get("status", {}).get("evaluations", []) for record in found]
    if not judged or not judged[0]:
        raise DevError(f"{model}-v{versions[0]} should have been evaluated before it served")
    data = judged[0][-1]["datasetVersion"]
    lines = []
    for record, evaluations in zip(found, judged, strict=True):
        same = [one for one in evaluations if one["datasetVersion"] == data]
        if not same:
            raise DevError(f"{record['metadata']['name']} should have been evaluated on {data} too")
        numbers = ", ".join(f"{name} {value:.6g}" for name, value in sorted(same[-1]["metrics"].items()))
        lines.append(f"{record['metadata']['name']} on {data}, split {same[-1]['split']}: {numbers}")
    return lines
