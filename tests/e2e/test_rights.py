"""What the operator may do on a real cluster: all that it needs, and nothing that would let it read a Secret."""

from collections.abc import Callable

import pytest

from dev.errors import DevError
from tests.e2e.operator import USER
from tests.e2e.world import World


@pytest.fixture
def may(world: World) -> Callable[..., bool]:
    """Asks the API server whether the operator's ServiceAccount may do something in this world's namespace."""

    def ask(verb: str, resource: str) -> bool:
        try:
            return world.kubectl("auth", "can-i", verb, resource, f"--as={USER}").strip() == "yes"
        except DevError as refusal:
            if not str(refusal).rstrip().endswith("no"):
                raise
            return False

    return ask


@pytest.mark.parametrize("verb", ["get", "list", "watch", "create", "update", "patch", "delete"])
def test_the_operator_cannot_touch_secrets(may: Callable[..., bool], verb: str) -> None:
    assert not may(verb, "secrets")


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("create", "pods"),
        ("create", "pods/exec"),
        ("create", "serviceaccounts/token"),
        ("create", "rolebindings"),
        ("patch", "jobs"),
        ("patch", "datasets.keelway.dev"),
        ("patch", "modelversions.keelway.dev"),
        ("delete", "modelversions.keelway.dev"),
    ],
)
def test_the_operator_cannot_reach_further_than_its_work(may: Callable[..., bool], verb: str, resource: str) -> None:
    assert not may(verb, resource)


def test_the_question_itself_tells_yes_from_no(may: Callable[..., bool]) -> None:
    assert may("create", "jobs")
    assert may("patch", "inferenceservices.serving.kserve.io")
