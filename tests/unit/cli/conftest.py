"""An API server with one whole chain, and a kubeconfig that names it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from tests.unit.cli.api_server import Records
from tests.unit.cli.records import NAMESPACE, chain


@pytest.fixture
def records() -> Iterator[Records]:
    server = Records()
    for key, value in chain().items():
        server.put(key, value)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def kubeconfig(records: Records, tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(configuration(f"http://127.0.0.1:{records.server_port}")))
    return path


def configuration(server: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}},
            {"name": "bare", "context": {"cluster": "c", "user": "u"}},
        ],
    }
