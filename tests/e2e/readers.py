"""Experiments that read a version of a Dataset and say which bytes they were given."""

import hashlib
from typing import Any

from tests.e2e.lakeside import Files
from tests.e2e.world import ONE_TRIAL, Manifest, World

CHECK = """
import hashlib, json, os, pathlib
root = pathlib.Path(os.environ["KEELWAY_DATA_TRAINING"])
files = {str(p.relative_to(root)): p for p in root.rglob("*") if p.is_file()}
lines = "".join(f"{name} {hashlib.sha256(files[name].read_bytes()).hexdigest()};" for name in sorted(files))
pathlib.Path(os.environ["KEELWAY_MODEL_DIR"], "files").write_text(lines)
said = {"auc": 1.0, "files": len(files), "bytes": int(hashlib.sha256(lines.encode()).hexdigest()[:12], 16)}
pathlib.Path(os.environ["KEELWAY_METRICS"]).write_text(json.dumps(said) + chr(10))
"""
"""A trial that says which names and bytes it was given, as a number."""


def fingerprint(files: Files) -> int:
    """What `CHECK` says of these."""
    lines = "".join(f"{name} {hashlib.sha256(files[name]).hexdigest()};" for name in sorted(files))
    return int(hashlib.sha256(lines.encode()).hexdigest()[:12], 16)


def reader(world: World, dataset: str, version: str) -> Manifest:
    """An Experiment of one trial that reads a version."""
    given: list[Any] = [{"name": "training", "dataset": dataset, "version": version}]
    manifest = world.experiment(f"reads-{dataset}", search=ONE_TRIAL, datasets=given, parameters=[])
    manifest["spec"]["output"]["model"] = f"reads-{dataset}"
    manifest["spec"]["trial"] |= {"retries": 0}
    container = manifest["spec"]["trial"]["job"]["template"]["spec"]["containers"][0]
    container |= {"image": world.images["worker"].ref, "command": ["python3", "-c", CHECK]}
    return manifest
