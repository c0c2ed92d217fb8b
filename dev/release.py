"""Keelway's Helm chart as developers use it: rendered to look at, or installed as a release, by Helm's own engine."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import helm_python
import yaml

from dev.places import ROOT

CHART = ROOT / "charts" / "keelway"
RELEASE = "keelway"
NAMESPACE = "keelway-system"

Values = Mapping[str, Any]


def render(values: Values, *, release: str = RELEASE, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
    """The objects that an install with `values` would make. Raises helm_python.HelmValuesError for refused values."""
    with helm_python.Chart.load(CHART) as chart:
        texts = chart.render(dict(values), name=release, namespace=namespace)
    return [document for text in _manifests(texts) for document in yaml.load_all(text, yaml.CSafeLoader) if document]


def image_values(*, operator: str, worker: str) -> dict[str, Any]:
    """Values that name two images by `repository:tag`."""
    return {"image": _image(operator), "workerImage": _image(worker)}


def install(kubeconfig: Path, values: Values, *, seconds: int = 120) -> int:
    """Install the release, or upgrade it to these values; returns its revision once the operator is ready.

    Raises helm_python.HelmError with Helm's own words.
    """
    with helm_python.Config(kubeconfig_path=kubeconfig, namespace=NAMESPACE) as config:
        if _is_installed(config):
            release = config.upgrade(CHART, RELEASE, dict(values), timeout=seconds, wait="watcher")
        else:
            release = config.install(
                CHART, RELEASE, dict(values), timeout=seconds, wait="watcher", create_namespace=True
            )
    return int(release["revision"])


def uninstall(kubeconfig: Path, *, seconds: int = 60) -> None:
    """Remove the release; the CRDs and what users made of them stay."""
    with helm_python.Config(kubeconfig_path=kubeconfig, namespace=NAMESPACE) as config:
        config.uninstall(RELEASE, timeout=seconds, wait="watcher", ignore_not_found=True)


def _manifests(texts: Mapping[str, str]) -> Iterable[str]:
    return (text for name, text in texts.items() if not name.endswith("NOTES.txt"))


def _image(reference: str) -> dict[str, str]:
    repository, _, tag = reference.rpartition(":")
    return {"repository": repository, "tag": tag}


def _is_installed(config: helm_python.Config) -> bool:
    return any(release["name"] == RELEASE for release in config.list(all_states=True))
