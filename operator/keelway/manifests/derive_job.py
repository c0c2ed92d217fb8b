"""The Job of one derivation: the pod of `staged_pod`, in which `record` describes, checks and keeps what was written.

Between the two stands `transform`, which runs the SQL and has no credentials, or the containers of the user's Job.
"""

from __future__ import annotations

from collections.abc import Sequence

from keelway.api.base import Manifest
from keelway.api.dataset import Dataset
from keelway.api.derivation import Derive
from keelway.api.digests import short
from keelway.api.jobs import RecordOrder, SplitRule, StagedTable, StageInput, TransformOrder
from keelway.manifests.checks import MeasuredAgainst, mounted_checks
from keelway.manifests.job import job
from keelway.manifests.manifest_volume import Mounted
from keelway.manifests.metadata import child_metadata
from keelway.manifests.names import child_name
from keelway.manifests.staged_pod import (
    PodInput,
    Sees,
    data_variables,
    read_data,
    scratch,
    sidecar,
    stage_container,
    staged_template,
    volumes_of,
)
from keelway.manifests.storage import ROOT, VOLUME_PREFIX, Storage, storage
from keelway.manifests.worker_container import memory_for_tables, worker_container

DERIVE, TRANSFORM, RECORD = "derive", "transform", "record"
DERIVATION_ANNOTATION = "keelway.dev/derivation"
"""The derivation's hash, on its Job."""
OUTPUT = f"{ROOT}/output"
QUERY_SECONDS = 3000
RECORD_SECONDS = 3600
"""How long describing and uploading may take once the containers that derive have ended."""
SQL_DEADLINE_SECONDS = 7200
JOB_DEADLINE_SECONDS = 24 * 3600
"""Of a Job whose template names no activeDeadlineSeconds."""
DERIVE_KEEP_SECONDS = 3600


def output_location(dataset: Dataset, derivation_hash: str) -> str:
    """URI of the directory that this derivation alone writes to: `<uri>/<first 12 characters of the hash>/`."""
    return f"{derive_of(dataset).output.uri.rstrip('/')}/{short(derivation_hash)}/"


def derive_job(
    dataset: Dataset,
    hash8: str,
    *,
    inputs: Sequence[PodInput],
    derivation_hash: str,
    against: MeasuredAgainst,
    splits: Sequence[SplitRule],
    image: str,
    pull_policy: str,
) -> Manifest:
    """A Job that makes a derived Dataset's files of these inputs. `hash8` tells its attempts apart."""
    derive = derive_of(dataset)
    keep = storage(output_location(dataset, derivation_hash), derive.output.access, "output", read_only=False)
    order, mounted = _record_order(dataset, derivation_hash, against, splits, keep)
    record = worker_container(
        RECORD,
        order,
        image=image,
        pull_policy=pull_policy,
        mounts=[_output(read_only=True), *(one.mount for one in mounted), *keep.mounts],
        resources=dataset.spec.job.resources,
    )
    template = staged_template(
        _template(dataset, inputs, image=image, pull_policy=pull_policy),
        first=[stage_container(inputs, image=image, pull_policy=pull_policy), sidecar(record)],
        volumes=[scratch("output"), *volumes_of(inputs), *(one.volume for one in mounted), *keep.volumes],
        upload_seconds=RECORD_SECONDS,
        service_accounts=[derive.output.access.service_account_name, *(given.service_account for given in inputs)],
        sees=_sees(derive, inputs),
    )
    name = child_name(dataset.name, DERIVE, hash8)
    return job(
        child_metadata(dataset, name, annotations={DERIVATION_ANNOTATION: derivation_hash}),
        template,
        deadline=template["spec"].pop("activeDeadlineSeconds", _deadline(derive)),
        keep=DERIVE_KEEP_SECONDS,
    )


def _deadline(derive: Derive) -> int:
    return JOB_DEADLINE_SECONDS if derive.job else SQL_DEADLINE_SECONDS


def derive_of(dataset: Dataset) -> Derive:
    """`spec.derive` of a Dataset that has one."""
    if dataset.spec.derive is None:
        raise ValueError(f"Dataset {dataset.name} is not derived")
    return dataset.spec.derive


def _record_order(
    dataset: Dataset, derivation_hash: str, against: MeasuredAgainst, splits: Sequence[SplitRule], keep: Storage
) -> tuple[RecordOrder, tuple[Mounted, ...]]:
    checks, mounted = mounted_checks(dataset, against)
    order = RecordOrder(
        derivation=derivation_hash,
        output_dir=OUTPUT,
        format=derive_of(dataset).output.format,
        destination=keep.location,
        checks=checks,
        splits=tuple(splits),
        split_key=dataset.spec.split_key,
        memory_limit=memory_for_tables(dataset.spec.job.resources),
    )
    return order, mounted


def _template(dataset: Dataset, inputs: Sequence[PodInput], *, image: str, pull_policy: str) -> Manifest:
    """The pod that derives, before it gets its frame: where the user's template says nothing, spec.job does."""
    settings, derive = dataset.spec.job, derive_of(dataset)
    place = {"nodeSelector": settings.node_selector, "tolerations": list(settings.tolerations)}
    if settings.service_account_name:
        place["serviceAccountName"] = settings.service_account_name
    if derive.job:
        template = derive.job.template
        return {**template, "spec": {**place, **template["spec"]}}
    transform = worker_container(
        TRANSFORM,
        _transform_order(dataset, derive.sql, inputs),
        image=image,
        pull_policy=pull_policy,
        mounts=[read_data(), _output(read_only=False)],
        resources=settings.resources,
    )
    return {"spec": {**place, "containers": [transform]}}


def _transform_order(dataset: Dataset, sql: str, inputs: Sequence[PodInput]) -> TransformOrder:
    return TransformOrder(
        sql=sql,
        inputs=tuple(_table(given.stage) for given in inputs),
        output_dir=OUTPUT,
        memory_limit=memory_for_tables(dataset.spec.job.resources),
        timeout_seconds=QUERY_SECONDS,
    )


def _table(staged: StageInput) -> StagedTable:
    return StagedTable(name=staged.name, directory=staged.target, format=staged.format, columns=staged.columns)


def _sees(derive: Derive, inputs: Sequence[PodInput]) -> Sees | None:
    """What the first of the user's containers sees; `transform` has an order."""
    if derive.job is None:
        return None
    return Sees(
        container=str(derive.job.template["spec"]["containers"][0]["name"]),
        environment={**data_variables(inputs), "KEELWAY_OUTPUT_DIR": OUTPUT},
        mounts=(read_data(), _output(read_only=False)),
    )


def _output(*, read_only: bool) -> Manifest:
    return {"name": f"{VOLUME_PREFIX}output", "mountPath": OUTPUT, "readOnly": read_only}
