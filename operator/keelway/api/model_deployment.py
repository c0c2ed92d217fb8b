"""ModelDeployment: which model serves, and how; intent."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from keelway.api.base import LabelName, Model, ObjectName, OpenObject, ShortText, Timestamp, cel, pattern, rules
from keelway.api.container import ServerContainer
from keelway.api.gates import Approval, Approved, Gate, GateResult
from keelway.api.resource import (
    AGE_COLUMN,
    OWNER_COLUMNS,
    READY_COLUMNS,
    Access,
    Owner,
    PrinterColumn,
    Resource,
    Status,
)
from keelway.api.rollout import ROLLOUT_RULES, AnalysisStatus, Rollout


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
    access: Access = Access()
    """How verification and gates read the model's files; empty: as the Experiment that made it wrote them."""


class Scheduling(Model):
    """Where the servers may run."""

    node_selector: Annotated[dict[str, str], Field(max_length=32)] = {}
    tolerations: Annotated[tuple[OpenObject, ...], Field(max_length=32)] = ()


class Serving(Model):
    """Copied into the InferenceService's predictor."""

    runtime: Annotated[str, Field(max_length=253)] = ""
    """Name of a KServe runtime; empty lets KServe choose by format. Name it where that is to be MLServer, which takes
    the served name in a way of its own."""
    protocol: Literal["v1", "v2"] = "v2"
    min_replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = 3
    resources: OpenObject = {}
    service_account_name: Annotated[str, Field(max_length=253)] = ""
    container: ServerContainer = {}
    """Instead of a runtime: a server of your own (a Container); it finds the model in /mnt/models."""
    transformer: ServerContainer = {}
    """Code of yours in front of the model (a Container): pre- and post-processing."""
    scheduling: Scheduling = Scheduling()


SERVING_RULES = rules(
    cel("self.minReplicas <= self.maxReplicas", "serving.minReplicas must not be above serving.maxReplicas"),
    cel(
        "!has(self.container.image) || !has(self.runtime) || self.runtime == ''",
        "serving.container is instead of serving.runtime: leave one of them out",
    ),
)


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
    gates: Annotated[
        tuple[Gate, ...],
        Field(
            max_length=8, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
        ),
    ] = ()
    approval: Approval = Approval()
    rollout: Annotated[Rollout, ROLLOUT_RULES] = Rollout()
    route: Route | None = None
    suspend: bool = False


class LiveVersion(Model):
    """What takes the traffic."""

    version: int
    name: str
    inference_service: str
    weight: int = 100
    """Percent of the traffic; what is missing goes to the candidate."""
    since: Timestamp


Phase = Literal[
    "Verifying", "Evaluating", "AwaitingApproval", "Starting", "Smoke", "Canary", "Failed", "Rejected", "RolledBack"
]
"""Failed: its servers are in trouble and still have time. Rejected: it never ran, its bytes or its numbers were not
good enough. RolledBack: its servers, its answers or its metrics were not good enough."""


class CandidateVersion(Model):
    """What wants to take the traffic, or was refused it."""

    version: int
    name: str
    inference_service: str
    phase: Phase
    step: int = 0
    """Which of `spec.rollout.steps`, from 1; 0 before the first."""
    weight: int = 0
    """Percent of the traffic."""
    since: Timestamp
    """When the phase, or the step, began."""
    attempt: ShortText = ""
    """Hash of what the outcome depends on: a refused version is tried again when it changes."""
    verified: bool = False
    """Whether the artifact's bytes were seen to have the recorded digest."""
    gates: Annotated[tuple[GateResult, ...], Field(max_length=8)] = ()
    approved: Approved | None = None
    analysis: AnalysisStatus | None = None
    reason: ShortText = ""
    message: Annotated[str, Field(max_length=1024)] = ""
    """Why it was refused, with the numbers."""


class SoakingVersion(Model):
    """What took the traffic before, and is kept ready for a while."""

    version: int
    name: str
    inference_service: str
    until: Timestamp
    analysis: AnalysisStatus | None = None
    """Of the version that took over: while this one is ready, there is a way back."""


Outcome = Literal["Promoted", "Replaced", "RolledBack", "Rejected"]


class Deployed(Model):
    """One line of the history."""

    version: int
    name: str
    from_: Annotated[Timestamp, Field(alias="from")]
    to: Timestamp | None = None
    outcome: Outcome
    """Promoted: it takes the traffic. Replaced: it did, until another took over."""
    reason: ShortText = ""
    message: Annotated[str, Field(max_length=512)] = ""
    attempt: ShortText = ""
    approved: Approved | None = None


class ModelDeploymentStatus(Status):
    """Conditions: Ready, Reconciling, Stalled, Progressing, GatePassed, Approved, RolledBack."""

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
        PrinterColumn("Phase", ".status.candidate.phase"),
        PrinterColumn("Step", ".status.candidate.step", "integer"),
        PrinterColumn("Weight", ".status.candidate.weight", "integer"),
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
