"""Reads and changes single objects in the cluster that a kubeconfig names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import click
from kubernetes import client, config
from urllib3.exceptions import HTTPError

from keelway.api.base import Manifest
from keelway.api.kinds import KINDS, Key

FIELD_MANAGER = "kubectl-keelway"
MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True)
class Cluster:
    """A connection, and the namespace that its context names. All of it raises ClickException when the API server does
    not answer or refuses."""

    api: client.ApiClient
    namespace: str

    @classmethod
    def connect(cls, *, kubeconfig: Path | None, context: str | None) -> Cluster:
        """Raises ClickException when there is no usable kubeconfig."""
        path = str(kubeconfig) if kubeconfig else None
        try:
            api = config.new_client_from_config(config_file=path, context=context)
            contexts, active = config.list_kube_config_contexts(config_file=path)
        except (config.ConfigException, OSError) as error:
            raise click.ClickException(f"no usable kubeconfig: {error}") from None
        chosen = next((entry for entry in contexts if entry["name"] == context), active)
        return cls(api, chosen["context"].get("namespace") or "default")

    def get(self, key: Key) -> Manifest | None:
        """One object of Keelway's kinds, or a ConfigMap; None when there is none."""
        with _clear_errors(f"show {key}"):
            try:
                return self._read(key)
            except client.ApiException as error:
                if error.status == 404:
                    return None
                raise

    def _read(self, key: Key) -> Manifest:
        if key.kind == "ConfigMap":
            found = client.CoreV1Api(self.api).read_namespaced_config_map(key.name, key.namespace)
            return cast(Manifest, self.api.sanitize_for_serialization(found))
        return cast(Manifest, self._custom("get_namespaced_custom_object")(**_address(key), name=key.name))

    def list(self, kind: str, namespace: str) -> list[Manifest]:
        """All objects of one of Keelway's kinds in a namespace."""
        address = _address(Key(kind, namespace, ""))
        with _clear_errors(f"list {address['plural']} in namespace {namespace}"):
            return cast("list[Manifest]", self._custom("list_namespaced_custom_object")(**address)["items"])

    def change(self, key: Key, patch: Manifest) -> None:
        """Merge these fields into one object of Keelway's kinds."""
        with _clear_errors(f"change {key}"):
            self._custom("patch_namespaced_custom_object")(
                **_address(key), name=key.name, body=patch, field_manager=FIELD_MANAGER, _content_type=MERGE_PATCH
            )

    def _custom(self, call: str) -> Callable[..., Any]:
        return cast("Callable[..., Any]", getattr(client.CustomObjectsApi(self.api), call))


def _address(key: Key) -> dict[str, str]:
    kind = KINDS[key.kind]
    return {"group": kind.group, "version": kind.version, "namespace": key.namespace, "plural": kind.plural}


@contextmanager
def _clear_errors(to: str) -> Iterator[None]:
    try:
        yield
    except client.ApiException as error:
        raise click.ClickException(f"the API server refused to {to}: {error.reason}") from None
    except HTTPError as error:
        raise click.ClickException(f"the API server does not answer: {error}") from None
