"""What a container sees of ConfigMaps, as a kubelet would mount them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

from keelway.api.base import Manifest


def mounted(pod: Manifest, container: Manifest, read: Callable[[str], Manifest | None]) -> dict[str, bytes]:
    """Files from ConfigMaps by their absolute path; `read` gives a ConfigMap of the pod's namespace by its name."""
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
    files: dict[str, bytes] = {}
    for mount in container.get("volumeMounts", []):
        for path, data in _files(volumes.get(mount["name"], {}), read):
            if target := _target(mount, path):
                files[target] = data
    return files


def _target(mount: Manifest, path: str) -> str:
    """Where a volume's file appears; nowhere when the mount shows another part of the volume."""
    part = mount.get("subPath", "")
    if part and path != part:
        return ""
    return str(mount["mountPath"]) if part else f"{mount['mountPath']}/{path}"


def _files(volume: Manifest, read: Callable[[str], Manifest | None]) -> Iterator[tuple[str, bytes]]:
    sources = volume.get("projected", {}).get("sources", [volume])
    for source in (source["configMap"] for source in sources if "configMap" in source):
        contents = dict(_contents(read(source["name"]) or {}))
        wanted = source.get("items") or [{"key": key, "path": key} for key in contents]
        yield from ((item["path"], contents[item["key"]]) for item in wanted if item["key"] in contents)


def _contents(config_map: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    yield from ((key, text.encode()) for key, text in config_map.get("data", {}).items())
    yield from ((key, base64.b64decode(data)) for key, data in config_map.get("binaryData", {}).items())
