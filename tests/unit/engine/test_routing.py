"""Whom a change wakes, and what is urgent."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.engine.intake import Intake
from keelway.engine.objects import key_of
from keelway.engine.queue import Queue
from keelway.engine.routing import has_ended, just_ended
from keelway.engine.store import Store
from tests.unit.engine.objects import NAMESPACE, thing

KINDS = frozenset({"Dataset", "Experiment"})


def subjects(manifest: Manifest) -> frozenset[Key]:
    return frozenset({key_of(manifest), *(Key(*about) for about in manifest.get("about", ()))})


def references(manifest: Manifest) -> frozenset[Key]:
    return frozenset(Key(*read) for read in manifest.get("reads", ()))


class Desk:
    """An intake whose queue is looked at instead of worked on."""

    def __init__(self) -> None:
        self.store = Store(subjects=subjects, references=references)
        self.queue = Queue()
        self.intake = Intake(store=self.store, queue=self.queue, kinds=KINDS)

    def see(self, *manifests: Manifest) -> None:
        for manifest in manifests:
            self.intake.seen(manifest)

    async def woken(self) -> list[str]:
        """Whom the news so far has woken, urgent ones first."""
        found = []
        while any(self.queue.depth()[lane] for lane in ("urgent", "normal")):
            turn = await self.queue.get()
            self.queue.done(turn.key)
            found.append(("!" if turn.urgent else "") + turn.key.name)
        return found


def experiment(name: str, *, version: int = 1, reads: str = "") -> Manifest:
    related: dict[str, Any] = {"reads": [("Dataset", NAMESPACE, reads)]} if reads else {}
    return thing("Experiment", name, uid=f"uid-{name}", version=version, **related)


def job(*, version: int = 1, of: str = "gbt", **status: Any) -> Manifest:
    return thing("Job", "j", uid="uid-j", version=version, about=[("Experiment", NAMESPACE, of)], status=status)


DATASET = thing("Dataset", "churn", uid="uid-churn")
COMPLETE: dict[str, Any] = {"conditions": [{"type": "Complete", "status": "True"}]}


async def test_a_resource_wakes_itself_and_those_that_read_it() -> None:
    desk = Desk()
    desk.see(experiment("gbt", reads="churn"), experiment("other"))
    await desk.woken()
    desk.see(DATASET)
    assert await desk.woken() == ["churn", "gbt"]


async def test_a_child_wakes_whom_it_was_made_for_and_not_itself() -> None:
    desk = Desk()
    desk.see(job())
    assert await desk.woken() == ["gbt"]


async def test_a_moved_reference_wakes_only_the_one_that_moved_and_a_moved_child_both_ends() -> None:
    desk = Desk()
    desk.see(experiment("gbt", reads="churn"), job(of="gbt"))
    await desk.woken()
    desk.see(experiment("gbt", version=2, reads="other"))
    assert await desk.woken() == ["gbt"]
    desk.see(job(version=2, of="xgb"))
    assert await desk.woken() == ["gbt", "xgb"]


async def test_a_version_wakes_those_that_read_what_it_is_a_version_of() -> None:
    desk = Desk()
    desk.see(thing("Experiment", "gbt", uid="uid-gbt", reads=[("Model", NAMESPACE, "churn")]))
    await desk.woken()
    desk.see(thing("ModelVersion", "churn-v1", uid="uid-v1", about=[("Model", NAMESPACE, "churn")]))
    assert await desk.woken() == ["gbt"]


async def test_what_is_no_news_wakes_nobody() -> None:
    desk = Desk()
    desk.see(DATASET)
    await desk.woken()
    desk.see(DATASET)
    assert await desk.woken() == []


async def test_the_end_of_a_child_is_urgent_once() -> None:
    desk = Desk()
    desk.see(job())
    assert await desk.woken() == ["gbt"]
    desk.see(job(version=2, **COMPLETE))
    assert await desk.woken() == ["!gbt"]
    desk.see(job(version=3, **COMPLETE, more=1))
    assert await desk.woken() == ["gbt"]


async def test_a_deleted_object_wakes_whom_it_concerned() -> None:
    desk = Desk()
    desk.see(job())
    await desk.woken()
    desk.intake.gone(Key("Job", NAMESPACE, "j"), uid="uid-j", version=5)
    assert await desk.woken() == ["!gbt"]


async def test_a_complete_list_removes_what_it_does_not_hold_unless_that_is_newer() -> None:
    desk = Desk()
    desk.see(thing(name="old", uid="old", version=5), thing(name="kept", uid="kept", version=6))
    desk.see(thing(name="new", uid="new", version=20), {**thing(name="x", uid="x", version=5), "kind": "Pod"})
    desk.intake.listed("ConfigMap", "", {Key("ConfigMap", NAMESPACE, "kept")}, 10)
    assert [key.name for key in desk.store.keys("ConfigMap")] == ["kept", "new"]
    assert [key.name for key in desk.store.keys("Pod")] == ["x"]


async def test_a_list_of_one_namespace_says_nothing_about_others() -> None:
    desk = Desk()
    desk.see(thing(version=5))
    desk.intake.listed("ConfigMap", "elsewhere", set(), 10)
    assert desk.store.keys("ConfigMap")
    desk.intake.listed("ConfigMap", NAMESPACE, set(), 10)
    assert not desk.store.keys("ConfigMap")


async def test_a_kind_that_vanishes_takes_its_objects_along_and_everybody_looks_again() -> None:
    desk = Desk()
    desk.see(DATASET, thing("HTTPRoute", "r", uid="r"))
    await desk.woken()
    desk.intake.served("HTTPRoute", True)
    assert await desk.woken() == [], "no news"
    desk.intake.served("HTTPRoute", False)
    assert await desk.woken() == ["churn"]
    assert not desk.store.keys("HTTPRoute")
    assert not desk.store.served("HTTPRoute")


async def test_everything_reconciled_can_be_woken() -> None:
    desk = Desk()
    desk.see(DATASET, experiment("gbt"), job())
    await desk.woken()
    desk.intake.wake_all()
    assert sorted(await desk.woken()) == ["churn", "gbt"]


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        ({}, False),
        ({"phase": "Running"}, False),
        ({"phase": "Succeeded"}, True),
        ({"phase": "Failed"}, True),
        (COMPLETE, True),
        ({"conditions": [{"type": "Failed", "status": "True"}]}, True),
        ({"conditions": [{"type": "Complete", "status": "False"}]}, False),
        ({"conditions": [{"type": "Ready", "status": "True"}]}, False),
    ],
)
def test_ended(status: Manifest, ended: bool) -> None:
    assert has_ended(thing("Job", status=status)) is ended
    change = Store(subjects=subjects, references=references).upsert(thing("Job", status=status))
    assert change
    assert just_ended(change) is ended
