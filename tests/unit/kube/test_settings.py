"""How the environment sets the operator up, and what it logs."""

from __future__ import annotations

import json
import logging

import pytest

from keelway.kube import log
from keelway.main import main
from keelway.settings import Settings, new_identity


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("KEELWAY_WORKER_IMAGE", "dev.local/worker:1")
    return monkeypatch


def test_one_variable_is_enough(environment: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    settings = Settings()
    assert settings.worker_image == "dev.local/worker:1"
    assert settings.watch_namespaces == ()
    assert (settings.lease_name, settings.health_port, settings.relist_seconds) == ("keelway", 8080, 600)


def test_namespaces_are_separated_by_commas(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("KEELWAY_WATCH_NAMESPACES", "red, blue,")
    environment.setenv("KEELWAY_LOG_LEVEL", "debug")
    assert Settings().watch_namespaces == ("red", "blue")
    assert Settings().log_level == "DEBUG"


@pytest.mark.parametrize(
    ("name", "value"),
    [("WORKERS", "0"), ("HEALTH_PORT", "99999"), ("LOG_LEVEL", "loud"), ("WORKER_PULL_POLICY", "Sometimes")],
)
def test_a_wrong_value_ends_the_process_with_its_name(
    name: str, value: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv(f"KEELWAY_{name}", value)
    assert main() == 2
    assert name.lower() in capsys.readouterr().err


def test_the_identity_is_the_pods_name_and_elsewhere_one_of_this_process() -> None:
    pod = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    assert new_identity(pod) == new_identity(pod)
    assert new_identity({}) != new_identity({})
    assert new_identity({}).startswith(new_identity(pod))


def test_a_log_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().handlers[:]
    try:
        log.set_up("INFO")
        logging.getLogger("keelway.x").info("Dataset/ml/churn %s", "observing", extra={"writes": 2})
        logging.getLogger("keelway.x").debug("hidden")
        logging.getLogger("kopf.objects").info("hidden")
        logging.getLogger("kopf.objects").warning("shown")
    finally:
        logging.getLogger().handlers[:] = before
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["message"], first["level"], first["logger"]) == ("Dataset/ml/churn observing", "INFO", "keelway.x")
    assert first["writes"] == 2
    assert first["time"].endswith("+00:00")
    assert second["message"] == "shown"
