"""What stands before the servers comes when it is asked for and goes when it is not, with the rights of the chart."""

from tests.apiserver.audit import Audit
from tests.apiserver.cluster_setup import OPERATOR_USER
from tests.apiserver.track import NAME, Track
from tests.apiserver.waiting import eventually


def test_route_and_budget_go_when_nobody_asks_for_them(track: Track, audit: Audit) -> None:
    serving = {"minReplicas": 2, "maxReplicas": 3}
    track.apply(track.dataset(), track.experiment(), track.deployment(spec__serving=serving))
    live = track.wait_live(1)["status"]["live"]["inferenceService"]
    guarded = track.get("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    assert guarded == {"serving.kserve.io/inferenceservice": live}
    assert track.names("HTTPRoute") == [NAME]
    track.change("ModelDeployment", "spec.route", None)
    track.change("ModelDeployment", "spec.serving.minReplicas", 1)
    eventually(lambda: not track.names("HTTPRoute"), what="the route is gone")
    eventually(lambda: not track.names("PodDisruptionBudget"), what="the budget is gone")
    assert track.wait_live(1)["status"]["live"]["inferenceService"] == live
    assert not [write for write in audit.writes(OPERATOR_USER, namespace=track.namespace) if write.code == 403]
