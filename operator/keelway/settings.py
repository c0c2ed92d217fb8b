"""How an installation sets the operator up: environment variables with the prefix KEELWAY_."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """KEELWAY_WORKER_IMAGE is required; everything else has a default."""

    model_config = SettingsConfigDict(env_prefix="KEELWAY_", frozen=True)

    worker_image: str
    """Image of the programs inside Jobs."""
    worker_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    watch_namespaces: Annotated[tuple[str, ...], NoDecode] = ()
    """Comma-separated; empty watches all of them."""
    namespace: str = "default"
    """Where the Lease lies."""
    lease_name: str = "keelway"
    workers: Annotated[int, Field(ge=1, le=256)] = 8
    """How many resources are looked at side by side."""
    relist_seconds: Annotated[float, Field(gt=0)] = 600.0
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    health_host: str = "0.0.0.0"
    health_port: Annotated[int, Field(ge=1, le=65535)] = 8080
    kubeconfig: Path | None = None
    """For an operator outside of the cluster; the default is the pod's service account, else KUBECONFIG."""
    identity: Annotated[str, Field(default_factory=lambda: new_identity(os.environ))]
    """Who holds the Lease; unique among operators that may run at the same time."""

    @field_validator("watch_namespaces", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value


def new_identity(environment: Any) -> str:
    """In a pod its name, so that a container started again goes on at once; elsewhere a name of this process."""
    host = socket.gethostname()
    return host if "KUBERNETES_SERVICE_HOST" in environment else f"{host}-{uuid4().hex[:8]}"
