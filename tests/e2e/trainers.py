"""Experiments whose trainers are a few lines of shell, for tests that are about what Keelway makes of them."""

from typing import Any

from tests.e2e.world import ONE_TRIAL, Manifest, World

MODEL = 'echo model > "$KEELWAY_MODEL_DIR/model.txt"'
METRICS = """echo '{"auc": 0.75}' >> "$KEELWAY_METRICS\""""
GOOD = f"{MODEL}; {METRICS}"
"""Ends at once with a model and a metric."""
LITTLE = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}
"""Many such trials fit on a node of two CPUs at a time."""


def experiment_of(
    world: World,
    name: str,
    script: str = "",
    *,
    container: Manifest | None = None,
    retries: int = 0,
    timeout: str = "10m",
    **spec: Any,
) -> Manifest:
    """An Experiment over the Dataset `tumours` with a model name of its own; one trial unless `spec` says otherwise.

    Its trials run the example's trainer, or `script` where one is given; `container` changes the container that trains.
    """
    manifest = world.experiment(name, **{"search": ONE_TRIAL, **spec})
    manifest["spec"]["output"]["model"] = name
    manifest["spec"]["trial"] |= {"retries": retries, "timeout": timeout}
    (trainer,) = manifest["spec"]["trial"]["job"]["template"]["spec"]["containers"]
    trainer |= {"command": ["/bin/sh", "-c", script]} if script else {}
    trainer |= {"resources": LITTLE, **(container or {})}
    return manifest
