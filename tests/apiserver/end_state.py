"""What a namespace looks like in the end, without what differs from run to run: names by hash, moments, uids."""

import json
import re
from collections import defaultdict

from keelway.api.base import Manifest
from tests.apiserver.api import Api

KINDS = (
    "Dataset",
    "DatasetVersion",
    "Experiment",
    "ModelVersion",
    "ModelDeployment",
    "Job",
    "ConfigMap",
    "InferenceService",
    "Service",
    "HTTPRoute",
)
OTHERS = frozenset({"kube-root-ca.crt"})
PASSING = ("-verify-", "-smoke-")
"""In the names of Jobs that are deleted minutes after they have ended, whatever happens meanwhile."""
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
HASH = re.compile(r"(?<![0-9a-f])([0-9a-f]{12}|[0-9a-f]{8})(?![0-9a-f])")
SECONDS = re.compile(r'(\\?"(?:seconds|spent)\\?":)[0-9.]+')
JOB_FIELDS = ("completions", "parallelism", "backoffLimit", "activeDeadlineSeconds")
SERVICE_FIELDS = ("selector",)


def end_state(api: Api, namespace: str) -> dict[str, list[str]]:
    """Every object that Keelway made or keeps: those of one kind and name, but for a hash in it, together."""
    found = (manifest for kind in KINDS for manifest in api.list(kind, namespace))
    state: dict[str, list[str]] = defaultdict(list)
    for told in (_told(manifest) for manifest in found if _stays(manifest)):
        state[_plain(told.pop("name"), namespace)].append(_plain(json.dumps(told, sort_keys=True), namespace))
    return {name: sorted(objects) for name, objects in state.items()}


def _stays(manifest: Manifest) -> bool:
    name = manifest["metadata"]["name"]
    return name not in OTHERS and not (manifest["kind"] == "Job" and any(part in name for part in PASSING))


def _plain(text: str, namespace: str) -> str:
    text = text.replace(namespace, "NAMESPACE")
    for pattern, word in ((MOMENT, "MOMENT"), (UID, "UID"), (HASH, "HASH"), (SECONDS, r"\g<1>0")):
        text = pattern.sub(word, text)
    return text


def _told(manifest: Manifest) -> Manifest:
    metadata, kind = manifest["metadata"], manifest["kind"]
    told = {
        "name": f"{kind}/{metadata['name']}",
        "labels": metadata.get("labels", {}),
        "annotations": metadata.get("annotations", {}),
        "owners": [f"{owner['kind']}/{owner['name']}" for owner in metadata.get("ownerReferences", [])],
        "data": manifest.get("data") or manifest.get("binaryData"),
    }
    spec = manifest.get("spec", {})
    if kind == "Job":
        return {**told, "spec": {name: spec[name] for name in JOB_FIELDS}, "ended": _ends(manifest)}
    if kind == "Service":
        return {**told, "spec": {name: spec[name] for name in SERVICE_FIELDS}}
    return {**told, "spec": spec, "status": _status(manifest) if kind != "HTTPRoute" else None}


def _status(manifest: Manifest) -> Manifest:
    """Without how the last look ended: who is killed after it learns of it in another way."""
    return {name: value for name, value in manifest.get("status", {}).items() if name != "observation"}


def _ends(job: Manifest) -> list[str]:
    conditions = job.get("status", {}).get("conditions", [])
    return sorted(condition["type"] for condition in conditions if condition["status"] == "True")
