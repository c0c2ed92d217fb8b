"""Dataset: where data lies and how a team wants to see it; intent."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from keelway.api.base import (
    DURATION_PATTERN,
    Duration,
    LabelName,
    Model,
    OpenObject,
    ShortText,
    Timestamp,
    Uri,
    cel,
    pattern,
    rules,
)
from keelway.api.checks import (
    DRIFT_RULES,
    DriftSettings,
    Expectations,
    ProfileSettings,
    SampleSettings,
    SchemaSettings,
)
from keelway.api.derivation import DERIVE_RULES, Derive
from keelway.api.jobs import Format
from keelway.api.resource import (
    AGE_COLUMN,
    OWNER_COLUMNS,
    READY_COLUMNS,
    Access,
    Owner,
    PrinterColumn,
    Resource,
    Status,
    condition_path,
)

Glob = Annotated[str, Field(min_length=1, max_length=512)]
Globs = Annotated[tuple[Glob, ...], Field(max_length=32)]

SOURCE_URI_RULES = rules(
    cel(
        "self.matches('^(s3|gs|az|pvc|https?)://[^/]+(/.*)?$') || self.matches('^hf://datasets/[^/]+/[^/]+(/.*)?$')",
        "uri must be s3://BUCKET/PREFIX/, gs://BUCKET/PREFIX/, az://CONTAINER/PREFIX/, https://HOST/FILE, "
        "hf://datasets/OWNER/NAME or pvc://CLAIM/PATH, for example s3://lake/churn/",
    ),
    cel("!self.contains('..')", "uri must not contain '..': name the directory itself"),
    cel(
        "self.split('://')[0] == oldSelf.split('://')[0]",
        "the scheme of uri cannot change: make a new Dataset for a source of another kind",
    ),
)


class DatasetSource(Model):
    """Which files make up the data set."""

    uri: Annotated[Uri, SOURCE_URI_RULES]
    revision: ShortText = ""
    """Branch, tag or commit, where the source has them (hf)."""
    include: Globs = ()
    exclude: Globs = ()
    format: Format = "Auto"


class Refresh(Model):
    """How often to look at the source again."""

    interval: Annotated[
        Duration,
        rules(
            cel(
                f"!self.matches('{DURATION_PATTERN}') || duration(self) >= duration('10s')",
                "refresh.interval must be at least 10s, for example 10m",
            )
        ),
    ] = "10m"
    schedule: Annotated[
        str,
        Field(max_length=128),
        pattern(
            r"^(\S+( +\S+){4}|@(hourly|daily|weekly|monthly|yearly))?$",
            "schedule must be a cron expression of five fields, for example '0 6 * * 1-5'",
        ),
    ] = ""
    """Cron, instead of the interval."""
    time_zone: Annotated[
        str,
        Field(max_length=64),
        pattern("^([A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*)?$", "timeZone must be a name such as Europe/Berlin"),
    ] = ""
    """Of the schedule; UTC when empty."""
    adaptive: bool = False
    """While nothing changes, look less and less often: at last after six intervals."""


class VersionSettings(Model):
    """How versions are told apart, and which one consumers are kept on."""

    identity: Literal["Auto", "Native", "Listing", "Content"] = "Auto"
    """Native: what the source itself calls a state (a commit). Listing: names, sizes and ETags. Content: every byte.
    Auto takes the strongest that the source vouches for without being read again."""
    pin: Annotated[str, Field(max_length=128)] = ""
    """Number or digest of the version that consumers are kept on."""


class Split(Model):
    """A share of the rows, the same rows in every version, chosen by the hash of a key."""

    name: LabelName
    percent: Annotated[float, Field(gt=0, le=100)]


class JobSettings(Model):
    """Where and with what the Jobs of this Dataset run."""

    resources: OpenObject = {}
    node_selector: Annotated[dict[str, str], Field(max_length=16)] = {}
    tolerations: Annotated[tuple[OpenObject, ...], Field(max_length=16)] = ()
    service_account_name: Annotated[str, Field(max_length=253)] = ""


class DatasetSpec(Model):
    """Intent."""

    owner: Owner = Owner()
    source: DatasetSource | None = None
    derive: Annotated[Derive, DERIVE_RULES] | None = None
    access: Access = Access()
    refresh: Refresh = Refresh()
    version: VersionSettings = VersionSettings()
    schema_: Annotated[SchemaSettings, Field(alias="schema")] = SchemaSettings()
    expectations: Expectations = Expectations()
    drift: Annotated[DriftSettings, DRIFT_RULES] = DriftSettings()
    profile: ProfileSettings = ProfileSettings()
    sample: SampleSettings = SampleSettings()
    splits: Annotated[
        tuple[Split, ...],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
        # Thirds written as 33.4 and 33.3 add up to a little more than 100.
        rules(
            cel(
                "self.map(s, s.percent).sum() <= 100.000001",
                "splits must add up to at most 100 percent: lower one of them",
            )
        ),
    ] = ()
    split_key: Annotated[str, Field(max_length=256)] = ""
    job: JobSettings = JobSettings()
    history_limit: Annotated[int, Field(ge=1, le=1000)] = 10
    suspend: bool = False


SPEC_RULES = rules(
    cel("has(self.source) != has(self.derive)", "a Dataset must have exactly one of source and derive"),
)


class CurrentVersion(Model):
    """The newest version that was recorded."""

    version: int
    name: str
    digest: str
    short_digest: str = ""
    rows: int = 0
    bytes: str = ""
    files: int = 0
    observed_at: Timestamp
    valid: Literal["", "True", "False"] = ""
    """Whether consumers may get it."""
    drift: ShortText = ""
    """How far the column that moved most has moved, as text; empty when nothing was compared."""


class GoodVersion(Model):
    """What consumers get."""

    version: int
    name: str
    digest: str


class Observation(Model):
    """The last look at the source that came to an end."""

    spec_hash: str
    time: Timestamp
    request: ShortText = ""
    failures: Annotated[int, Field(ge=0)] = 0
    outcome: Literal["Unchanged", "Observed", "Failed"]
    reason: ShortText = ""
    """Why it failed."""
    unchanged: Annotated[int, Field(ge=0)] = 0
    """How many looks in a row, up to this one, found nothing new; counted for `refresh.adaptive` alone."""
    listing: str = ""
    """Digest of the listing that the look saw: while it stays, nothing is read."""
    newest: Timestamp | None = None
    """When the newest file was written."""


class DatasetStatus(Status):
    """Conditions: Ready, Reconciling, Stalled, SourceReachable, SourceMoved, Validated, SchemaCompatible and
    DriftDetected; of a derived one Derived and InputsReady instead of SourceReachable."""

    current: CurrentVersion | None = None
    last_good: GoodVersion | None = None
    observation: Observation | None = None
    next_refresh_time: Timestamp | None = None


class Dataset(Resource):
    """Where data lies, and which version of it consumers get."""

    short_names: ClassVar = ("dset",)
    columns: ClassVar = (
        PrinterColumn("Version", ".status.current.version", "integer"),
        PrinterColumn("Digest", ".status.current.shortDigest"),
        PrinterColumn("Rows", ".status.current.rows", "integer"),
        PrinterColumn("Size", ".status.current.bytes"),
        PrinterColumn("Valid", ".status.current.valid"),
        PrinterColumn("Drift", ".status.current.drift"),
        *READY_COLUMNS,
        AGE_COLUMN,
        PrinterColumn("Good", ".status.lastGood.version", "integer", priority=1),
        PrinterColumn("Reachable", condition_path("SourceReachable", "status"), priority=1),
        PrinterColumn("Next", ".status.nextRefreshTime", priority=1),
        *OWNER_COLUMNS,
    )

    rules: ClassVar = rules(
        cel(
            "self.metadata.name.size() <= 200",
            "metadata.name must have at most 200 characters: the names of its DatasetVersions begin with it",
        ),
    )

    spec: Annotated[DatasetSpec, SPEC_RULES]
    status: DatasetStatus = DatasetStatus()
