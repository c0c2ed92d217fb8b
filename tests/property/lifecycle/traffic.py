"""Who gets how much of the traffic, as a Service or a route says it."""

from __future__ import annotations

from keelway.api.base import Manifest
from keelway.manifests.serving import ISVC_LABEL


def shares(manifest: Manifest) -> dict[str, int]:
    """InferenceService to weight, of requests that ask for nothing."""
    if manifest["kind"] == "Service":
        return {manifest["spec"]["selector"][ISVC_LABEL]: 100}
    common = [rule for rule in manifest["spec"]["rules"] if not _headers(rule)]
    return {_server(backend): backend["weight"] for rule in common for backend in rule["backendRefs"]}


def asked_for(manifest: Manifest) -> frozenset[str]:
    """InferenceServices that requests with a header reach."""
    rules = manifest["spec"].get("rules", []) if manifest["kind"] == "HTTPRoute" else []
    return frozenset(_server(backend) for rule in rules if _headers(rule) for backend in rule["backendRefs"])


def _headers(rule: Manifest) -> bool:
    return any(match.get("headers") for match in rule["matches"])


def _server(backend: Manifest) -> str:
    return str(backend["name"]).removesuffix("-predictor")
