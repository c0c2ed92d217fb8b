"""Mistakes that people make with Datasets, and the words with which the API server must refuse them."""

from typing import Any

from keelway.api.base import Manifest

DURATION = "must be a duration, for example 30s, 10m or 1h30m"
URI = "uri must be s3://BUCKET/PREFIX/, gs://BUCKET/PREFIX/, az://CONTAINER/PREFIX/"
ONE_OF = "a Dataset must have exactly one of source and derive"
TEMPLATE: Manifest = {"spec": {"containers": [{"name": "refine", "image": "dev.local/refine:1"}]}}


def derive(**changes: Any) -> Manifest:
    """A spec that derives; fields that are None go."""
    fields = {
        "inputs": [{"name": "raw", "dataset": "churn-raw"}],
        "sql": "SELECT * FROM raw",
        "output": {"uri": "s3://lake/clean/"},
        **changes,
    }
    return {"derive": {name: value for name, value in fields.items() if value is not None}}


REFUSED_SOURCES = [
    ("spec.source.uri", "ftp://lake/churn/", URI),
    ("spec.source.uri", "/data/churn", URI),
    ("spec.source.uri", "hf://models/owner/name", "hf://datasets/OWNER/NAME"),
    ("spec.source.uri", "s3://lake/../secrets", "uri must not contain '..': name the directory itself"),
    ("spec.source", {}, "spec.source.uri: Required value"),
    ("spec.source.format", "parquet", 'supported values: "Auto", "CSV", "Parquet", "JSONLines", "Images", "Files"'),
    ("spec.refresh.interval", "5s", "refresh.interval must be at least 10s, for example 10m"),
    ("spec.refresh.interval", "10 minutes", DURATION),
    ("spec.refresh.schedule", "every day", "schedule must be a cron expression of five fields"),
    ("spec.refresh.schedule", "0 6 * *", "schedule must be a cron expression of five fields"),
    ("spec.refresh.timeZone", "Europe / Berlin", "timeZone must be a name such as Europe/Berlin"),
    ("spec.access.endpoint", "minio:9000", "endpoint must begin with http:// or https://"),
    ("spec.access.secretRef", {"name": "My_Secret"}, "must be an object's name"),
    ("spec.version.identity", "Bytes", 'supported values: "Auto", "Native", "Listing", "Content"'),
    ("spec.historyLimit", 0, "spec.historyLimit in body should be greater than or equal to 1"),
    ("spec.sauce", 1, 'unknown field "spec.sauce"'),
    ("metadata.name", "d" * 201, "metadata.name must have at most 200 characters"),
]
REFUSED_SPLITS = [
    (
        "spec.splits",
        [{"name": "train", "percent": 80}, {"name": "holdout", "percent": 30}],
        "splits must add up to at most 100 percent: lower one of them",
    ),
    ("spec.splits", [{"name": "train", "percent": 0}], "spec.splits[0].percent in body should be greater than 0"),
    ("spec.splits", [{"name": "train", "percent": 1}] * 2, 'spec.splits[1]: Duplicate value: {"name":"train"}'),
    ("spec.splits", [{"name": "Hold Out", "percent": 1}], "must consist of lower-case letters, digits and '-'"),
]
REFUSED_CHECKS = [
    ("spec.schema.policy", "Lax", 'supported values: "Infer", "Additive", "Strict"'),
    ("spec.schema.columns", [{"name": "age"}], "spec.schema.columns[0].type: Required value"),
    ("spec.schema.columns", [{"name": "age", "type": "int"}] * 2, "spec.schema.columns[1]: Duplicate value"),
    ("spec.expectations.rows", {"maxDropPercent": 120}, "maxDropPercent in body should be less than or equal to 100"),
    ("spec.expectations.rows", {"min": -1}, "spec.expectations.rows.min in body should be greater than or equal to 0"),
    ("spec.expectations.columns", [{"name": "age", "max": "old"}], "columns[0].max in body must be of type number"),
    ("spec.expectations.columns", [{"name": "age"}] * 2, 'columns[1]: Duplicate value: {"name":"age"}'),
    ("spec.expectations.columns", [{"name": "age", "severity": "Error"}], 'supported values: "Fail", "Warn"'),
    ("spec.expectations.rules", [{"name": "a"}], "spec.expectations.rules[0].violation: Required value"),
    ("spec.expectations.rules", [{"name": "No Future", "violation": "true"}], "must consist of lower-case letters"),
    ("spec.expectations.freshness", {"maxAge": "two days"}, DURATION),
    ("spec.expectations.images", {"maxCorruptPercent": -1}, "should be greater than or equal to 0"),
    ("spec.drift", {"warn": 0.3, "fail": 0.2}, "drift.warn must not be larger than drift.fail"),
    ("spec.drift.statistic", "Wasserstein", 'supported values: "PSI", "JensenShannon", "KolmogorovSmirnov"'),
    ("spec.drift.onFail", "Stop", 'supported values: "Block", "Warn"'),
    ("spec.sample.rows", 51, "spec.sample.rows in body should be less than or equal to 50"),
    ("spec.profile.topK", 101, "spec.profile.topK in body should be less than or equal to 100"),
]
REFUSED_DERIVATIONS = [
    ("spec", {}, ONE_OF),
    ("spec.derive", derive()["derive"], ONE_OF),
    ("spec", derive(sql=None), "derive must have exactly one of sql and job"),
    ("spec", derive(job={"template": TEMPLATE}), "derive must have exactly one of sql and job"),
    ("spec", derive(output={"uri": "s3://lake/clean/", "format": "CSV"}), "derive.output.format: SQL writes Parquet"),
    ("spec", derive(output={"uri": "https://example.com/clean/"}), "uri must be s3://BUCKET/PREFIX/"),
    ("spec", derive(output={"uri": "s3://lake/../clean/"}), "uri must not contain '..': name the directory itself"),
    ("spec", derive(output=None), "spec.derive.output: Required value"),
    ("spec", derive(inputs=[]), "spec.derive.inputs in body should have at least 1 items"),
    ("spec", derive(inputs=[{"name": "Raw", "dataset": "raw"}]), "must begin with a lower-case letter and consist of"),
    ("spec", derive(inputs=[{"name": "raw", "dataset": "a"}] * 2), "spec.derive.inputs[1]: Duplicate value"),
    ("spec", derive(sql=None, job={"template": {"spec": {"containers": []}}}), "template must be a pod template"),
]
REFUSED_DATASETS = [*REFUSED_SOURCES, *REFUSED_SPLITS, *REFUSED_CHECKS, *REFUSED_DERIVATIONS]
"""Path of the field, its wrong value, part of the message."""
