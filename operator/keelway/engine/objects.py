"""Reading Kubernetes objects as plain JSON, and keeping only what decisions need of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from keelway.api.base import Manifest
from keelway.api.kinds import MANAGED_BY, Key

FIELD_MANAGER = "keelway"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

FieldSet = Mapping[str, Any]
"""FieldsV1 of metadata.managedFields: `f:` a field, `k:` an item by its keys, `v:` a set member, `.` itself."""
FieldPath: TypeAlias = tuple[str, ...]
"""Names of fields from the object down."""


def key_of(manifest: Manifest) -> Key:
    """The name under which the store keeps an object."""
    metadata = manifest["metadata"]
    return Key(manifest["kind"], metadata.get("namespace", ""), metadata["name"])


def uid_of(manifest: Manifest) -> str:
    """metadata.uid, empty on a manifest that was not created yet."""
    uid: str = manifest["metadata"].get("uid", "")
    return uid


def version_of(manifest: Manifest) -> int:
    """metadata.resourceVersion as a number; newer is greater."""
    return int(manifest["metadata"].get("resourceVersion") or 0)


def controller(manifest: Manifest) -> Mapping[str, Any]:
    """The owner reference of the controlling owner, empty when there is none."""
    owners = manifest["metadata"].get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), {})


def is_ours(desired: Manifest, existing: Manifest) -> bool:
    """Whether the object with the name of `desired` is the one we made: same controller or, without one, our label."""
    wanted, found = controller(desired).get("uid"), controller(existing).get("uid")
    return wanted == found and (wanted is not None or manager_label(desired) == manager_label(existing))


def manager_label(manifest: Manifest) -> str:
    """Who is said to manage an object."""
    label: str = (manifest["metadata"].get("labels") or {}).get(MANAGED_BY, "")
    return label


def is_ending(manifest: Manifest) -> bool:
    """Whether an object is being deleted."""
    return bool(manifest["metadata"].get("deletionTimestamp"))


def applied_fields(manifest: Manifest) -> FieldSet | None:
    """The fields that we own by server-side apply of the object itself; None when we never applied it."""
    for entry in manifest["metadata"].get("managedFields") or ():
        ours = entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply"
        if ours and not entry.get("subresource"):
            fields: FieldSet = entry.get("fieldsV1") or {}
            return fields
    return None


def setter_of(manifest: Manifest, path: FieldPath) -> str:
    """Name of the field manager that last set a field; empty when nobody is known to have, or for no field."""
    if not path:
        return ""
    entries: list[dict[str, Any]] = [
        entry
        for entry in manifest["metadata"].get("managedFields") or ()
        if not entry.get("subresource") and _has_field(entry.get("fieldsV1") or {}, path)
    ]
    entries.sort(key=lambda entry: str(entry.get("time", "")))
    return str(entries[-1].get("manager", "")) if entries else ""


def _has_field(fields: FieldSet, path: FieldPath) -> bool:
    for name in path:
        if f"f:{name}" not in fields:
            return False
        fields = fields[f"f:{name}"]
    return True


def without_ballast(manifest: Manifest) -> Manifest:
    """A shallow copy without what no decision reads: about half of an object's size.

    The content of an immutable ConfigMap is for people and Jobs: decisions only ask whether it is there.
    """
    metadata = {name: value for name, value in manifest["metadata"].items() if name != "managedFields"}
    if LAST_APPLIED in (metadata.get("annotations") or {}):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != LAST_APPLIED}
    slim = {**manifest, "metadata": metadata}
    if manifest["kind"] == "ConfigMap" and manifest.get("immutable"):
        slim.pop("data", None)
        slim.pop("binaryData", None)
    return slim
