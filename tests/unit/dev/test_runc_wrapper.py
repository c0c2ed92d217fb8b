"""What is taken out of a container before runc sees it."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dev.cluster import runc_wrapper
from dev.cluster.runc_wrapper import relax, specification

GLOBAL = ["--root", "/run/runtime", "--log", "/run/log.json"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["create", "--bundle", "/b", "--pid-file", "/b/pid", "name"], "/b/config.json"),
        (["run", "-b", "/b", "name"], "/b/config.json"),
        (["create", "name"], "config.json"),
        (["exec", "--process", "/tmp/process.json", "--detach", "name"], "/tmp/process.json"),
        (["exec", "name", "sh"], None),
        (["kill", "name", "9"], None),
        (["state", "name"], None),
    ],
)
def test_the_file_that_says_what_to_run(arguments: list[str], expected: str | None) -> None:
    assert specification([*GLOBAL, *arguments]) == (Path(expected) if expected else None)


def process(**given: Any) -> dict[str, Any]:
    relax(given, open_files=1000)
    return given


def test_the_capability_that_cannot_be_granted_is_taken_from_every_set() -> None:
    sets = {"bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"], "effective": ["CAP_SYS_RESOURCE"]}
    assert process(capabilities=sets)["capabilities"] == {"bounding": ["CAP_CHOWN"], "effective": []}


@pytest.mark.parametrize(("given", "left"), [(-999, 0), (0, 0), (500, 500), (None, 0)])
def test_an_out_of_memory_score_is_never_lowered(given: int | None, left: int) -> None:
    assert process(oomScoreAdj=given)["oomScoreAdj"] == left


@pytest.mark.parametrize(("given", "left"), [(1_048_576, 1000), (500, 500)])
def test_open_files_end_at_our_own_limit(given: int, left: int) -> None:
    limit = {"type": "RLIMIT_NOFILE", "hard": given, "soft": given}
    assert process(rlimits=[limit])["rlimits"] == [{"type": "RLIMIT_NOFILE", "hard": left, "soft": left}]


def test_where_open_files_are_unlimited_none_is_taken_away() -> None:
    given = {"rlimits": [{"type": "RLIMIT_NOFILE", "hard": 4096, "soft": 1024}]}
    relax(given, open_files=resource.RLIM_INFINITY)
    assert given["rlimits"] == [{"type": "RLIMIT_NOFILE", "hard": 4096, "soft": 1024}]


def test_other_limits_are_left_to_the_default() -> None:
    assert process(rlimits=[{"type": "RLIMIT_CORE", "hard": -1, "soft": -1}])["rlimits"] == []


def test_on_its_own_it_adapts_the_bundle_and_hands_every_argument_to_runc(tmp_path: Path) -> None:
    """As dockerd calls it: without this repository on the path."""
    runc = tmp_path / "runc"
    runc.write_text('#!/bin/sh\necho "$@"\n')
    runc.chmod(0o755)
    wrapper = tmp_path / "wrapper.py"
    source = Path(runc_wrapper.__file__).read_text()
    assert '"/usr/sbin/runc"' in source
    wrapper.write_text(source.replace('"/usr/sbin/runc"', json.dumps(str(runc))))
    bundle = tmp_path / "config.json"
    bundle.write_text(json.dumps({"process": {"oomScoreAdj": -500, "args": ["init"]}, "hostname": "n"}))
    arguments = [*GLOBAL, "create", "--bundle", str(tmp_path), "name"]
    done = subprocess.run([sys.executable, "-IS", wrapper, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.split() == arguments
    adapted = json.loads(bundle.read_text())
    assert adapted["process"]["oomScoreAdj"] == 0
    assert (adapted["process"]["args"], adapted["hostname"]) == (["init"], "n")
