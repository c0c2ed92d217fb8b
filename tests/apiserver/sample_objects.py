"""The shortest useful objects of each kind, to be changed by tests."""

import copy
from typing import Any

import yaml

from keelway.api.base import Manifest

SHORTEST = """
{apiVersion: keelway.dev/v1alpha1, kind: Dataset, metadata: {name: churn}, spec: {source: {uri: s3://lake/churn/}}}
---
apiVersion: keelway.dev/v1alpha1
kind: Experiment
metadata: {name: churn}
spec:
  datasets: [{name: training, dataset: churn}]
  objective: {metric: auc}
  trial: {job: {template: {spec: {containers: [{name: train, image: dev.local/train:1}]}}}}
  output: {model: churn, format: {name: sklearn}, uri: s3://models/churn/}
---
{apiVersion: keelway.dev/v1alpha1, kind: ModelDeployment, metadata: {name: churn}, spec: {model: {name: churn}}}
---
apiVersion: keelway.dev/v1alpha1
kind: DatasetVersion
metadata: {name: churn-v1-0a1b2c3d}
spec:
  dataset: {name: churn, uid: 11111111-2222-3333-4444-555555555555}
  version: 1
  digest: listing:sha256:0000000000000000000000000000000000000000000000000000000000000000
  source: {uri: s3://lake/churn/, format: Parquet}
  manifest: {files: 1, bytes: 1000, ref: {configMap: churn-files-0a1b2c3d}, sha256: abc}
  schema: {digest: def, columns: [{name: age, type: bigint}]}
  rows: 100
---
apiVersion: keelway.dev/v1alpha1
kind: ModelVersion
metadata: {name: churn-v1}
spec:
  model: churn
  version: 1
  artifact:
    uri: s3://models/churn/0123456789ab/
    digest: sha256:0000000000000000000000000000000000000000000000000000000000000000
    format: {name: sklearn}
  metrics: {auc: 0.9}
  producedBy: {external: {system: notebook}, parameters: {depth: 3}}
"""
_OBJECTS: dict[str, Manifest] = {manifest["kind"]: manifest for manifest in yaml.safe_load_all(SHORTEST)}


def shortest(kind: str, namespace: str, **changes: Any) -> Manifest:
    """The shortest object of a kind; `changes` are values by path, as in `spec__source__uri="s3://x/"`."""
    manifest = copy.deepcopy(_OBJECTS[kind])
    manifest["metadata"]["namespace"] = namespace
    for path, value in changes.items():
        put(manifest, path.replace("__", "."), value)
    return manifest


def put(manifest: Manifest, path: str, value: Any) -> None:
    """Set one field of an object by its dotted path; numbers in the path are places in lists."""
    *parents, last = path.split(".")
    place: Any = manifest
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
    place[int(last) if isinstance(place, list) else last] = value
