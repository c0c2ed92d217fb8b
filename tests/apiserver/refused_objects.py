"""Mistakes that people make, and the words with which the API server must refuse them."""

from typing import Any

from keelway.api.base import Manifest
from tests.apiserver.deployments import REFUSED_DEPLOYMENTS
from tests.apiserver.refused_datasets import DURATION, REFUSED_DATASETS

TEMPLATE = "spec.trial.job.template"
EXACTLY_ONE = "a parameter needs exactly one of float, int, choice, for example int: {min: 2, max: 8}"
POD_TEMPLATE = "template must be a pod template with spec.containers, for example template: {spec: {containers: "


def float_range(**bounds: Any) -> list[Manifest]:
    """A search space of one real number."""
    return [{"name": "rate", "float": bounds}]


REFUSED_EXPERIMENTS = [
    ("spec.datasets", [], "spec.datasets in body should have at least 1 items"),
    ("spec.datasets.0.version", "latest", 'version must be a number such as "7", a DatasetVersion\'s digest, or empty'),
    ("spec.datasets.0.version", 7, "spec.datasets[0].version in body must be of type string"),
    ("spec.datasets", [{"name": "a", "dataset": "x"}, {"name": "a", "dataset": "y"}], "Duplicate value"),
    ("spec.objective", {"goal": "Maximize"}, "spec.objective.metric: Required value"),
    ("spec.objective.goal", "max", 'supported values: "Maximize", "Minimize"'),
    (
        "spec.parameters",
        [{"name": "a", "int": {"min": 1, "max": 2}, "float": {"min": 1, "max": 2}}],
        EXACTLY_ONE,
    ),
    ("spec.parameters", [{"name": "a"}], EXACTLY_ONE),
    ("spec.parameters", float_range(min=3, max=2), "float.min must not be above float.max"),
    ("spec.parameters", [{"name": "a", "int": {"min": 3, "max": 2}}], "int.min must not be above int.max"),
    ("spec.parameters", float_range(min=0, max=1, scale="Log"), "scale: Log needs float.min above 0"),
    ("spec.parameters", float_range(min=1, max=2, scale="Log", step=1), "exclude each other: drop one"),
    ("spec.parameters", [{"name": "1 a", "float": {"min": 1, "max": 2}}], "must begin with a letter"),
    (
        "spec.parameters",
        [{"name": "a", "choice": {"values": []}}],
        "choice.values in body should have at least 1 items",
    ),
    ("spec.parameters", [{"name": "a", "choice": {"values": [1, 1]}}], "choice.values[1]: Duplicate value: 1"),
    (
        "spec.parameters",
        [{"name": name, "int": {"min": 1, "max": 2}} for name in ("max-depth", "MAX_DEPTH")],
        "two parameters' names differ only in case or in '-' and '_'",
    ),
    ("spec.search.algorithm", "Bayes", 'supported values: "TPE", "Random", "Grid"'),
    ("spec.search.maxTrials", 10_001, "spec.search.maxTrials in body should be less than or equal to 10000"),
    (TEMPLATE, {}, POD_TEMPLATE),
    (TEMPLATE, {"spec": {"containers": []}}, POD_TEMPLATE),
    (TEMPLATE, {"containers": [{"name": "train", "image": "a"}]}, POD_TEMPLATE),
    (TEMPLATE, {"spec": {"containers": [{"name": "train"}]}}, "every container needs a name and an image"),
    (
        f"{TEMPLATE}.spec.initContainers",
        [{"name": "collect", "image": "a"}],
        "a container may not be named stage, collect, record, measure",
    ),
    (f"{TEMPLATE}.spec.volumes", [{"name": "keelway-data"}], "volumes that begin with keelway- are Keelway's"),
    (
        f"{TEMPLATE}.spec.containers.0.volumeMounts",
        [{"name": "x", "mountPath": "/keelway"}],
        "a mount below /keelway hides what Keelway puts there: mount it elsewhere",
    ),
    ("spec.trial.container", "trainer", "trial.container must be the name of one of the template's containers"),
    ("spec.trial.timeout", "forever", DURATION),
    ("spec.retention.jobTTL", "1 day", DURATION),
    (
        "spec.output.uri",
        "churn/",
        "uri must be s3://BUCKET/PREFIX/, gs://BUCKET/PREFIX/, az://CONTAINER/PREFIX/ or pvc://CLAIM/PATH",
    ),
    ("spec.output.model", "Churn", "must consist of lower-case letters, digits and '-'"),
    ("spec.output.model", "c" * 41, "may not be more than 40"),
    ("spec.trials", 7, 'unknown field "spec.trials"'),
]
REFUSED_RECORDS = [
    ("ModelVersion", "spec.artifact.digest", "abc", "digest must be sha256: and 64 hexadecimal digits"),
    ("ModelVersion", "spec.artifact.uri", "models/churn", "uri must be a URI that KServe can read"),
    ("ModelVersion", "spec.version", 0, "spec.version in body should be greater than or equal to 1"),
    ("ModelVersion", "spec.artefact", {}, 'unknown field "spec.artefact"'),
    ("DatasetVersion", "spec.digest", "abc", "spec.digest in body should be at least 16 chars long"),
    ("DatasetVersion", "spec.source.format", "Auto", 'supported values: "CSV", "Parquet", "JSONLines"'),
]
REFUSED = [
    *(("Dataset", *row) for row in REFUSED_DATASETS),
    *(("Experiment", *row) for row in REFUSED_EXPERIMENTS),
    *(("ModelDeployment", *row) for row in REFUSED_DEPLOYMENTS),
    *REFUSED_RECORDS,
]
"""Kind, path of the field, its wrong value, part of the message."""
