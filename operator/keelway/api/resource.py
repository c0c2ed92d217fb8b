"""What the five kinds share: metadata, conditions, ownership, and how `kubectl get` shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from keelway.api.base import Model, ObjectName, Rules, ShortText, Timestamp, cel, pattern, rules
from keelway.api.kinds import Key

FOR_ANNOTATION = "keelway.dev/for"
"""`Kind/name` of the resource in the same namespace that an object was made for."""
RECONCILE_ANNOTATION = "keelway.dev/reconcile"
"""Anything new in this annotation asks for a look now."""
RETRY_ANNOTATION = "keelway.dev/retry"
"""Anything new in this annotation of a ModelDeployment gives a refused version another chance."""


@dataclass(frozen=True)
class PrinterColumn:
    """One column of `kubectl get`; priority 1 shows with `-o wide` alone."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


def condition_path(type_: str, field: str) -> str:
    """JSONPath of a field of one condition."""
    return f'.status.conditions[?(@.type=="{type_}")].{field}'


READY_COLUMNS = (
    PrinterColumn("Ready", condition_path("Ready", "status")),
    PrinterColumn("Reason", condition_path("Ready", "reason")),
)
OWNER_COLUMNS = (
    PrinterColumn("Team", ".spec.owner.team", priority=1),
    PrinterColumn("Message", condition_path("Ready", "message"), priority=1),
)
AGE_COLUMN = PrinterColumn("Age", ".metadata.creationTimestamp", "date")


class OwnerReference(Model):
    """Who owns an object."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class Metadata(Model):
    """The part of metav1.ObjectMeta that decisions look at."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()


class Condition(Model):
    """metav1.Condition. `last_transition_time` moves only when the status flips."""

    type: Annotated[str, Field(max_length=64)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Field(max_length=64)]
    message: Annotated[str, Field(max_length=2048)] = ""
    observed_generation: int = 0
    last_transition_time: Timestamp


class Status(Model):
    """What every status has."""

    observed_generation: int = -1
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()

    def condition(self, type_: str) -> Condition | None:
        """The condition of a type, if it is there."""
        return next((condition for condition in self.conditions if condition.type == type_), None)


class Owner(Model):
    """Who answers for this resource."""

    team: ShortText = ""
    contact: ShortText = ""


class SecretReference(Model):
    """A Secret in the same namespace. The operator never reads it; it is mounted into the containers that need it."""

    name: ObjectName


WRITABLE_URI = rules(
    cel(
        "self.matches('^(s3|gs|az|pvc)://[^/]+(/.*)?$')",
        "uri must be s3://BUCKET/PREFIX/, gs://BUCKET/PREFIX/, az://CONTAINER/PREFIX/ or pvc://CLAIM/PATH",
    ),
    cel("!self.contains('..')", "uri must not contain '..': name the directory itself"),
)
"""Where files can be put."""


class Access(Model):
    """Reach a store by a Secret (s3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), or by what a service account may."""

    service_account_name: Annotated[str, Field(max_length=253)] = ""
    """Of the pods that read and write there; empty is `default`."""
    secret_ref: SecretReference | None = None
    endpoint: Annotated[
        str,
        Field(max_length=512),
        pattern(
            "^(https?://.+)?$", "endpoint must begin with http:// or https://, for example http://minio.infra:9000"
        ),
    ] = ""
    region: ShortText = ""


class Resource(Model):
    """One of Keelway's own objects."""

    short_names: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[tuple[PrinterColumn, ...]] = ()
    rules: ClassVar[Rules] = Rules(())
    """CEL rules of the whole object: the only ones that see its name."""

    metadata: Metadata

    @property
    def key(self) -> Key:
        """Where the store keeps it."""
        return Key(type(self).__name__, self.metadata.namespace, self.metadata.name)

    @property
    def name(self) -> str:
        """metadata.name"""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """metadata.namespace"""
        return self.metadata.namespace
