"""What the operator can see of a Gateway API controller: whether it accepts a route."""

from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from keelway.api.base import Manifest
from keelway.api.durations import to_timestamp
from tests.apiserver.api import Api, Follower, RefusedError

CONTROLLER = "keelway.dev/fake-gateway"


class FakeGateway:
    """Accepts routes to Gateways of these names and refuses others."""

    def __init__(self, api: Api, *names: str) -> None:
        self._api = api
        self._names = names
        self._routes = Follower(api, "HTTPRoute", self._judge)

    def __enter__(self) -> Self:
        self._routes.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._routes.stop()

    def _judge(self, event: str, route: Manifest) -> None:
        metadata, status = route["metadata"], {"parents": [self._parent(route, ref) for ref in _references(route)]}
        if event == "DELETED" or _judged(route) == [parent["conditions"][0]["status"] for parent in status["parents"]]:
            return
        try:
            self._api.patch("HTTPRoute", metadata["namespace"], metadata["name"], {"status": status}, part="status")
        except RefusedError as refused:
            if refused.code != 404:
                raise

    def _parent(self, route: Manifest, reference: Manifest) -> Manifest:
        known = reference["name"] in self._names
        condition = {
            "type": "Accepted",
            "status": str(known),
            "reason": "Accepted" if known else "NoMatchingParent",
            "message": "" if known else f"no Gateway {reference['name']}",
            "observedGeneration": route["metadata"]["generation"],
            "lastTransitionTime": to_timestamp(datetime.now(UTC)),
        }
        return {"parentRef": reference, "controllerName": CONTROLLER, "conditions": [condition]}


def _references(route: Manifest) -> list[Manifest]:
    found: list[Manifest] = route["spec"].get("parentRefs", [])
    return found


def _judged(route: Manifest) -> list[str]:
    """The verdicts that stand in the status for this generation."""
    parents = route.get("status", {}).get("parents", [])
    conditions = [condition for parent in parents for condition in parent["conditions"]]
    generation = route["metadata"]["generation"]
    return [condition["status"] for condition in conditions if condition["observedGeneration"] == generation]
