"""DatasetVersion: which bytes a Dataset was made of at one moment; an immutable record."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from keelway.api.base import Model, Uri, cel, rules
from keelway.api.dataset import Globs
from keelway.api.findings import Drift, FileChanges, Violation
from keelway.api.jobs import Column, FileFormat, SplitRows, SplitRule
from keelway.api.kinds import Key
from keelway.api.resource import AGE_COLUMN, Access, PrinterColumn, Resource, Status

IMMUTABLE = rules(cel("self == oldSelf", "a record never changes: spec is immutable"))

Digest = Annotated[str, Field(min_length=16, max_length=128)]


class DatasetIdentity(Model):
    """Which Dataset this is a version of."""

    name: str
    uid: str


class PinnedSource(Model):
    """Where the bytes were when they were recorded, and how to read them."""

    uri: Uri
    revision: str = ""
    include: Globs = ()
    exclude: Globs = ()
    format: FileFormat
    access: Access = Access()


class ConfigMapReference(Model):
    """A ConfigMap in the same namespace."""

    config_map: str


class ManifestReference(Model):
    """The list of files: gzip of JSON Lines, under the key `manifest.jsonl.gz` of one ConfigMap or cut into several."""

    files: int
    bytes: int
    ref: ConfigMapReference
    parts: int = 1
    """How many ConfigMaps: the second is called as the first with `-1` behind it, and so on."""
    sha256: str


class Schema(Model):
    """Columns, and a digest over them that changes exactly when they do."""

    digest: str
    columns: Annotated[tuple[Column, ...], Field(max_length=500)]
    total: int = 0
    """How many columns there are; more than `columns` lists when the table is very wide."""


class VersionSplits(Model):
    """The rule by which rows fell into splits; the same rule gives the same rows again."""

    key: str = ""
    rules: Annotated[tuple[SplitRule, ...], Field(max_length=16)] = ()


class ProfileReference(Model):
    """Distributions of the columns, as JSON under the key `profile.json` of a ConfigMap."""

    config_map: str
    sha256: str
    coverage: float = 1.0
    """Share of the bytes that were read for it."""


class DerivedFrom(Model):
    """One version that this one was made of."""

    name: str
    dataset: str
    dataset_version: str
    digest: str


class Derivation(Model):
    """What made this version of others."""

    hash: str
    """Over the digests of the inputs and the code: the same is never derived twice."""
    code: str
    """sha256 of the SQL, or the image of the Job as it was written."""


class Change(Model):
    """What differs from the last good version at that time."""

    from_: Annotated[int, Field(alias="from")]
    """Its number."""
    files: FileChanges = FileChanges()
    rows: int = 0
    bytes: int = 0
    schema_: Annotated[Literal["None", "Compatible", "Breaking"], Field(alias="schema")] = "None"


class DatasetVersionSpec(Model):
    """What was seen."""

    dataset: DatasetIdentity
    version: Annotated[int, Field(ge=1)]
    digest: Digest
    """What the version is named by: how strongly the bytes are known, an algorithm, a hash."""
    source: PinnedSource
    manifest: ManifestReference
    schema_: Annotated[Schema, Field(alias="schema")]
    rows: int
    splits: Annotated[tuple[SplitRows, ...], Field(max_length=16)] = ()
    split_rule: VersionSplits = VersionSplits()
    derived_from: Annotated[tuple[DerivedFrom, ...], Field(max_length=16)] = ()
    derivation: Derivation | None = None
    change: Change | None = None
    profile: ProfileReference | None = None


class DatasetVersionStatus(Status):
    """Conditions: Ready."""

    verdict: Literal["", "Valid", "Invalid"] = ""
    """Of the checks that the Dataset asked for when it last looked."""
    checks_hash: str = ""
    """Of what was asked; another one is checked anew."""
    violations: Annotated[tuple[Violation, ...], Field(max_length=40)] = ()
    """The gravest; `violated` says how many there are."""
    violated: int = 0
    drift: Drift | None = None


class DatasetVersion(Resource):
    """A version of a Dataset: which bytes it was made of. Written by the operator alone."""

    short_names: ClassVar = ("dsetv",)
    columns: ClassVar = (
        PrinterColumn("Dataset", ".spec.dataset.name"),
        PrinterColumn("Version", ".spec.version", "integer"),
        PrinterColumn("Rows", ".spec.rows", "integer"),
        PrinterColumn("Change", ".spec.change.rows", "integer"),
        PrinterColumn("Schema-Change", ".spec.change.schema"),
        PrinterColumn("Valid", ".status.verdict"),
        AGE_COLUMN,
        PrinterColumn("Files", ".spec.manifest.files", "integer", priority=1),
        PrinterColumn("Digest", ".spec.digest", priority=1),
    )

    spec: Annotated[DatasetVersionSpec, IMMUTABLE]
    status: DatasetVersionStatus = DatasetVersionStatus()

    @property
    def files_keys(self) -> tuple[Key, ...]:
        """Where the store keeps the ConfigMaps with the list of files."""
        first, parts = self.spec.manifest.ref.config_map, self.spec.manifest.parts
        names = (first, *(f"{first}-{part}" for part in range(1, parts)))
        return tuple(Key("ConfigMap", self.namespace, name) for name in names)

    @property
    def profile_key(self) -> Key | None:
        """Where the store keeps the ConfigMap with the profile."""
        return Key("ConfigMap", self.namespace, self.spec.profile.config_map) if self.spec.profile else None

    @property
    def config_maps(self) -> tuple[Key, ...]:
        """All that belongs to the record."""
        return (*self.files_keys, self.profile_key) if self.profile_key else self.files_keys
