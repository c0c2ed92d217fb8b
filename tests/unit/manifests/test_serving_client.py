"""KServe's own client takes every InferenceService that is made."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dev.environments import python_of
from keelway.api.base import Manifest
from tests.unit.manifests.ways_to_serve import WAYS, made

SCRIPT = Path(__file__).with_name("kserve_models.py")


def said_of(manifests: list[Manifest]) -> list[list[str]]:
    """What KServe's client has against each."""
    done = subprocess.run(
        [python_of("kserve"), SCRIPT], input=json.dumps(manifests), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answers: list[list[str]] = json.loads(done.stdout)
    return answers


MISTAKES: list[tuple[str, Any, str]] = [
    ("minReplica", 1, "V1beta1PredictorSpec has no minReplica"),
    ("maxReplicas", "3", "is no int"),
    ("model", {"storageUri": "s3://models/churn/"}, "`model_format`, must not be `None`"),
    ("tolerations", [{"keys": "gpu"}], "the model keeps {}"),
    ("containers", [{"image": "a"}], "name"),
]


@pytest.fixture(scope="module")
def answers() -> dict[str, list[str]]:
    """Of every server in every surrounding, and of every mistake, in one go: the client takes seconds to load."""
    manifests = {way: made(way) for way in WAYS}
    for field, value, _ in MISTAKES:
        wrong = made()
        wrong["spec"]["predictor"][field] = value
        manifests[field] = wrong
    return dict(zip(manifests, said_of(list(manifests.values())), strict=True))


@pytest.mark.parametrize("way", WAYS)
def test_the_client_takes_what_is_made(way: str, answers: dict[str, list[str]]) -> None:
    assert answers[way] == []


@pytest.mark.parametrize(("field", "message"), [(field, message) for field, _, message in MISTAKES])
def test_the_client_would_see_a_mistake(field: str, message: str, answers: dict[str, list[str]]) -> None:
    (said,) = answers[field]
    assert message in said
