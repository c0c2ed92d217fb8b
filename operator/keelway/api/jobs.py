"""What the operator tells the programs inside a Job (an order) and what they answer (a verdict, a report).

An order is JSON in the environment variable KEELWAY_ORDER; what one variable cannot hold goes on in KEELWAY_ORDER_1,
KEELWAY_ORDER_2 and so on. A verdict is JSON in the container's termination message and
stays below VERDICT_BYTES (Kubernetes keeps 4096 a container and 12 KiB a pod). What does not fit a verdict is a
report: one line in the container's log that begins with REPORT_MARK, whose sha256 the verdict carries.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from keelway.api.base import Model
from keelway.api.checks import DriftSettings, Expectations, ProfileSettings, SampleSettings
from keelway.api.findings import Drift, FileChanges, Violation
from keelway.api.tracking import MlflowOrder

ORDER_VARIABLE = "KEELWAY_ORDER"
ORDER_PART_BYTES = 100_000
"""Linux starts no program with a variable of 128 KiB."""
REPORT_MARK = "KEELWAY-REPORT "
STEP_MARK = "KEELWAY-STEP "
"""Begins a line of `collect`'s log that relays an intermediate report: JSON of a StepReport."""
CURVE_POINTS = 60
"""Most points of a trial's curve that are kept."""
VERDICT_BYTES = 3000
MANIFEST_PART_BYTES = 700_000
"""A ConfigMap holds 1 MiB."""
MANIFEST_BYTES = 5_600_000
"""All parts together: about 100 000 files. A container's log, in which they travel, is kept up to 10 MB."""
TERMINATION_LOG = "/dev/termination-log"

FileFormat = Literal["CSV", "Parquet", "JSONLines", "Images", "Files"]
Format = Literal["Auto", "CSV", "Parquet", "JSONLines", "Images", "Files"]
Identity = Literal["Auto", "Native", "Listing", "Content"]


class Location(Model):
    """Where bytes lie, seen from inside a pod: exactly one of `uri` (an object store) and `mount` (a volume)."""

    uri: str = ""
    """`s3://bucket/prefix/`, likewise gs, az, https, hf; empty when the bytes are on a mounted volume."""
    revision: str = ""
    """Branch, tag or commit, for hf."""
    mount: str = ""
    """Absolute directory of a mounted volume (pvc sources), else empty."""
    endpoint: str = ""
    region: str = ""
    secret_dir: str = ""
    """Directory with one file per key of the Secret (AWS_ACCESS_KEY_ID …); empty means ambient credentials.
    The Secret is mounted as optional: an empty or missing directory is a failure with reason SecretMissing."""
    secret_name: str = ""
    """Only for messages."""


class Source(Model):
    """Which files of a location make up a data set."""

    location: Location
    include: tuple[str, ...] = ()
    """Globs relative to the location (`**` crosses directories); none means all."""
    exclude: tuple[str, ...] = ()
    format: Format = "Auto"


class SplitRule(Model):
    """One split: this share of the rows, chosen by hash."""

    name: str
    percent: float


class File(Model):
    """One file of a manifest."""

    path: str
    """Relative to the source's location."""
    size: int
    etag: str = ""
    """As the store lists it; empty where it has none."""
    sha256: str = ""
    """Hexadecimal, of the bytes; empty when they were not read."""


class Column(Model):
    """One column: `type` is DuckDB's name in lower case (bigint, double, varchar, timestamp …)."""

    name: str
    type: str
    nullable: bool = True


class SplitRows(Model):
    """How many rows fell into a split."""

    name: str
    rows: int


class ManifestOf(Model):
    """The recorded list of files of a version, mounted into the pod."""

    directory: str
    """Holds the parts (see ObserveReport.manifest) as files whose sorted names give their order."""
    sha256: str
    """Of all parts together."""


class KnownVersion(Model):
    """The newest version that is recorded: what the source is compared with, so that nothing is read twice."""

    digest: str
    listing: str
    """Digest of the listing at the last look that found this version; while it stays, nothing is read."""
    manifest: ManifestOf


class Baseline(Model):
    """The last good version: what a new one is measured against."""

    version: int
    rows: int
    manifest: ManifestOf


class Reference(Model):
    """The version whose distributions a new one is compared with."""

    version: int
    profile: str
    """Path of its `profile.json`."""


class Checks(Model):
    """What is to be found out about data beyond its rows and columns."""

    expectations: Expectations = Expectations()
    drift: DriftSettings = DriftSettings()
    profile: ProfileSettings = ProfileSettings()
    sample: SampleSettings = SampleSettings()
    baseline: Baseline | None = None
    reference: Reference | None = None


class ObserveOrder(Model):
    """List a source; when its listing is not the known one, read and describe it."""

    source: Source
    identity: Identity = "Auto"
    known: KnownVersion | None = None
    checks: Checks = Checks()
    splits: tuple[SplitRule, ...] = ()
    split_key: str = ""
    """Column whose hash decides the split; empty: the hash of the whole row."""
    memory_limit: str = "512MiB"


class ObserveVerdict(Model):
    """Answer of `observe`."""

    outcome: Literal["Unchanged", "Observed", "Failed"]
    reason: str = ""
    """On failure one of FailureReason."""
    message: str = ""
    """On failure what is wrong and what to do next; holds no data values and no secrets."""
    digest: str = ""
    """Of the version: the known one when the outcome is Unchanged."""
    listing: str = ""
    """Digest of the listing that was seen."""
    newest: str = ""
    """RFC 3339, when the newest file was written; empty when the source does not say."""
    files: int = 0
    bytes: int = 0
    rows: int = 0
    report_sha256: str = ""


class ObserveReport(Model):
    """What `observe` or `record` found, one JSON line in its log."""

    format: FileFormat
    columns: tuple[Column, ...]
    splits: tuple[SplitRows, ...]
    manifest: tuple[str, ...]
    """base64 of gzip (mtime 0) of JSON Lines, one File a line, sorted by path; cut into parts of at most
    MANIFEST_PART_BYTES before base64."""
    manifest_sha256: str
    """sha256 of the gzip bytes, all parts together."""
    revision: str = ""
    """The commit that was read, where the source has them."""
    profile: str = ""
    """A Profile (see `api.profile`) as canonical JSON, at most PROFILE_BYTES."""
    coverage: float = 1.0
    violations: tuple[Violation, ...] = ()
    """Of the expectations, freshness excepted; at most 300."""
    drift: Drift | None = None
    file_changes: FileChanges | None = None
    """Against the baseline; None without one."""


class StageInput(Model):
    """One data set to put into a trial's pod."""

    name: str
    source: Source
    format: FileFormat
    digest: str
    manifest: ManifestOf
    columns: tuple[Column, ...]
    split: str = ""
    splits: tuple[SplitRule, ...] = ()
    split_key: str = ""
    target: str
    """Directory to fill: the files as they are; for a split of a table `part-*.parquet`, of images their files."""


class StagedModel(Model):
    """A model whose bytes must have the recorded digest."""

    location: Location
    """Its directory, or its only file. All files below it count. Where their list lies beside it (`list_beside`), a
    message can say which are not as they were."""
    digest: str
    """`tree_digest` of its files."""
    target: str = ""
    """Directory to put the files into; empty: they are read and not kept."""


class StageOrder(Model):
    """Fetch exactly the pinned bytes and write the parameters' file."""

    inputs: tuple[StageInput, ...] = ()
    model: StagedModel | None = None
    """Fails with ArtifactMissing when files are not there, with ArtifactDigestMismatch when they are others.
    It comes before the inputs."""
    parameters: dict[str, float | int | str] = {}
    parameters_file: str = ""
    """Empty where there are no parameters."""
    memory_limit: str = "512MiB"


class StageVerdict(Model):
    """Answer of `stage`."""

    outcome: Literal["Staged", "Failed"]
    reason: str = ""
    message: str = ""
    files: int = 0
    bytes: int = 0
    rows: int = 0


class StepReport(Model):
    """The objective at one step of a trial that still runs."""

    step: int
    value: float


def list_beside(directory: str) -> str:
    """Path of the list of a model's files: canonical JSON of `digest` and, for each file, `path`, `size`, `sha256`.

    It is not in the directory, where servers look at every file, and its name does not begin with the directory's:
    KServe fetches every object whose key begins with the path that it is told.
    """
    above, _, name = directory.rpartition("/")
    return f"{above}/files-{name}.json" if above else f"files-{name}.json"


class CollectOrder(Model):
    """Wait for the end of the user's containers, then take the metrics and keep the model."""

    metrics_file: str
    model_dir: str
    objective: str
    """Name of the metric that must be there and be a finite number."""
    destination: Location
    """The model's files go below it into `<first 12 characters of the model's digest>/`, then, as the sign that all are
    there, their list into `list_beside` it."""
    follow: bool = False
    """Whether to relay lines of the metrics file that have a `step` to the log while the trial runs."""
    mlflow: MlflowOrder | None = None


class CollectVerdict(Model):
    """Answer of `collect`."""

    outcome: Literal["Collected", "Failed"]
    reason: str = ""
    message: str = ""
    metrics: Annotated[dict[str, float], Field(default_factory=dict)]
    """Numbers of the last line of the metrics file; at most 50, objective always among them."""
    digest: str = ""
    directory: str = ""
    """Where below the destination the model lies."""
    files: int = 0
    bytes: int = 0
    curve: tuple[tuple[int, float], ...] = ()
    """(step, objective) of intermediate reports, at most CURVE_POINTS; where they were followed."""
    mlflow_run: str = ""
    mlflow_error: str = ""
    """Why MLflow was not told; nothing else fails for that."""


class SweepOrder(Model):
    """Delete what lies at a location, apart from what is kept."""

    location: Location
    """The directory of one run or of one model: never a directory that several share."""
    keep: tuple[str, ...] = ()
    """Paths relative to the location: a directory stays with all below it, a file stays."""


class SweepVerdict(Model):
    """Answer of `sweep`."""

    outcome: Literal["Swept", "Failed"]
    reason: str = ""
    message: str = ""
    files: int = 0
    """How many were deleted."""


class StagedTable(Model):
    """An input of a derivation, as `stage` left it."""

    name: str
    """What the query calls it."""
    directory: str
    format: FileFormat
    columns: tuple[Column, ...]


class TransformOrder(Model):
    """Run one query over staged tables, with no way to anything else, and write its rows."""

    sql: str
    inputs: tuple[StagedTable, ...]
    output_dir: str
    """Gets `part-*.parquet`; nothing that looks finished is left there after a failure."""
    memory_limit: str = "512MiB"
    timeout_seconds: float = 3000


class TransformVerdict(Model):
    """Answer of `transform`."""

    outcome: Literal["Transformed", "Failed"]
    reason: str = ""
    message: str = ""
    rows: int = 0


class RecordOrder(Model):
    """Wait for the end of the containers that derive, then describe and check what they wrote and upload it."""

    derivation: str = ""
    """The derivation's hash, for the marker of a finished upload."""
    output_dir: str
    format: FileFormat
    destination: Location
    """The directory of this derivation alone."""
    checks: Checks = Checks()
    splits: tuple[SplitRule, ...] = ()
    split_key: str = ""
    memory_limit: str = "512MiB"


FailureReason = Literal[
    "SecretMissing",
    "SourceUnreachable",
    "AccessDenied",
    "SourceEmpty",
    "SourceInvalid",
    "SchemaMismatch",
    "SourceChanging",
    "DatasetVersionGone",
    "QueryInvalid",
    "QueryTimedOut",
    "OutputMissing",
    "MetricMissing",
    "MetricInvalid",
    "ModelMissing",
    "ModelTooLarge",
    "UploadFailed",
    "ArtifactMissing",
    "ArtifactDigestMismatch",
    "SmokeFailed",
    "OutOfSpace",
    "InternalError",
]
"""Why a worker program could not do what it was told.

Worth another try of the same order: SourceUnreachable, SourceChanging, UploadFailed, OutOfSpace, InternalError.
"""
