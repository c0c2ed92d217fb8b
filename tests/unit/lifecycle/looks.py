"""Datasets at work: a look that has begun, a version that is recorded, the next look."""

from __future__ import annotations

from typing import Any

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from tests.property.lifecycle.lake import content
from tests.unit.lifecycle.builders import DATASET, NAMESPACE, a_dataset
from tests.unit.lifecycle.pods import (
    observe_finds,
)
from tests.unit.lifecycle.scene import Scene

FIRST, SECOND = content("first"), content("second", rows=120)


def begun(**spec: Any) -> Scene:
    """A new Dataset whose first look has begun."""
    scene = Scene(a_dataset(**spec))
    scene.settle(DATASET)
    return scene


def recorded(**spec: Any) -> Scene:
    """A Dataset with one version."""
    scene = begun(**spec)
    observe_finds(scene, FIRST)
    scene.settle()
    return scene


def look_again(scene: Scene, seconds: float = 600) -> None:
    """The next look begins when it is due."""
    scene.wait(seconds)
    scene.settle()
    scene.writes.clear()


def finds(scene: Scene, found: Any) -> None:
    """The next look begins and finds this."""
    look_again(scene)
    observe_finds(scene, found)
    scene.settle()


def newest(scene: Scene) -> Manifest:
    """The version that consumers get."""
    return scene.get(Key("DatasetVersion", NAMESPACE, scene.status(DATASET)["lastGood"]["name"]))
