"""ModelDeployment: which model serves, and how; intent."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from keelway.api.base import Duration, LabelName, Model, ObjectName, OpenObject, Timestamp, cel, pattern, rules
from keelway.api.resource import AGE_COLUMN, OWNER_COLUMNS, READY_COLUMNS, Owner, PrinterColumn, Resource, Status


class ModelSelector(Model):
    """Which model: the newest version of a name, or a pinned one."""

    name: Annotated[LabelName, Field(max_length=40)]
    version: Annotated[
        str,
        Field(max_length=10),
        pattern(
            "^([1-9][0-9]*)?$",
            'model.version must be a version\'s number such as "4", or empty to follow the newest',
        ),
    ] = ""


class Serving(Model):
    """Copied into the InferenceService's predictor."""

    runtime: Annotated[str, Field(max_length=253)] = ""
    """Name of a KServe runtime; empty lets KServe choose by format."""
    protocol: Literal["v1", "v2"] = "v2"
    min_replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = 3
    resources: OpenObject = {}
    service_account_name: Annotated[str, Field(max_length=253)] = ""


SERVING_RULES = rules(
    cel("self.minReplicas <= self.maxReplicas", "serving.minReplicas must not be above serving.maxReplicas"),
)


class Rollout(Model):
    """How a new version takes over."""

    progress_deadline: Duration = "10m"
    soak: Duration = "10m"
    """How long the version before stays ready after it lost its traffic."""


class GatewayReference(Model):
    """A Gateway of the Gateway API."""

    name: ObjectName
    namespace: Annotated[str, Field(max_length=63)] = ""
    """Empty: the ModelDeployment's own."""


Hostname = Annotated[
    str,
    Field(min_length=1, max_length=253),
    pattern(
        r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "hostnames are DNS names without scheme, port or path, for example churn.example.com",
    ),
]


class Route(Model):
    """How clients outside the cluster reach the model."""

    gateway: GatewayReference
    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=16)] = ()
    path: Annotated[
        str,
        Field(max_length=1024),
        rules(cel("self.startsWith('/')", "route.path must begin with /, for example /churn")),
    ] = "/"


class ModelDeploymentSpec(Model):
    """Intent."""

    owner: Owner = Owner()
    model: ModelSelector
    serving: Annotated[Serving, SERVING_RULES] = Serving()
    rollout: Rollout = Rollout()
    route: Route | None = None
    suspend: bool = False


class LiveVersion(Model):
    """What takes the traffic."""

    version: int
    name: str
    inference_service: str
    weight: int = 100
    since: Timestamp


class CandidateVersion(Model):
    """What wants to take the traffic."""

    version: int
    name: str
    inference_service: str
    phase: Literal["Starting", "Failed"]
    weight: int = 0
    since: Timestamp


class SoakingVersion(Model):
    """What took the traffic before, and is kept ready for a while."""

    version: int
    name: str
    inference_service: str
    until: Timestamp


class Deployed(Model):
    """One line of the history."""

    version: int
    name: str
    from_: Annotated[Timestamp, Field(alias="from")]
    to: Timestamp | None = None
    outcome: Literal["Promoted", "Replaced"]


class ModelDeploymentStatus(Status):
    """Conditions: Ready, Reconciling, Stalled, Progressing."""

    live: LiveVersion | None = None
    candidate: CandidateVersion | None = None
    soaking: SoakingVersion | None = None
    history: Annotated[tuple[Deployed, ...], Field(max_length=20)] = ()
    url: str = ""


class ModelDeployment(Resource):
    """A model in production."""

    short_names: ClassVar = ("mdeploy",)
    columns: ClassVar = (
        PrinterColumn("Live", ".status.live.version", "integer"),
        PrinterColumn("Candidate", ".status.candidate.version", "integer"),
        PrinterColumn("Weight", ".status.live.weight", "integer"),
        PrinterColumn("URL", ".status.url"),
        *READY_COLUMNS,
        AGE_COLUMN,
        *OWNER_COLUMNS,
    )

    rules: ClassVar = rules(
        cel(
            "self.metadata.name.matches('^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')",
            "metadata.name must begin with a letter and consist of at most 63 lower-case letters, digits and '-': "
            "a Service gets this name",
        ),
    )

    spec: ModelDeploymentSpec
    status: ModelDeploymentStatus = ModelDeploymentStatus()
