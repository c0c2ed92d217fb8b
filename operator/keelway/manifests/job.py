"""The frame of every Job that Keelway makes: one pod, made once, no token, disruptions not counted."""

from __future__ import annotations

from typing import Any

from keelway.api.base import Manifest

IGNORE_DISRUPTIONS = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}


def job(metadata: dict[str, Any], template: dict[str, Any], *, deadline: float, keep: float) -> Manifest:
    """A Job of one pod.

    `deadline` is how many seconds it may run, `keep` how many it stays after its end. Its pod carries the Job's labels
    and annotations, so that a watch finds it.
    """
    pod_metadata = template.get("metadata", {})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": max(1, int(deadline)),
            "ttlSecondsAfterFinished": max(1, int(keep)),
            "podFailurePolicy": IGNORE_DISRUPTIONS,
            "template": {
                "metadata": {
                    "labels": {**pod_metadata.get("labels", {}), **metadata["labels"]},
                    "annotations": {**pod_metadata.get("annotations", {}), **metadata["annotations"]},
                },
                "spec": {**template["spec"], "restartPolicy": "Never", "automountServiceAccountToken": False},
            },
        },
    }
