"""How a version's profile looks on a terminal: a line a column, with its distribution."""

import json

from rich.table import Table

from dev.demo.examples import Manifest
from dev.demo.resources import get
from dev.platform.kubectl import Kubectl

CELLS = 12
LEVELS = "▁▂▃▄▅▆▇█"


def profile_of(cluster: Kubectl, dataset: Manifest) -> Manifest:
    """The profile of the version that consumers of a Dataset get. Raises DevError when there is none."""
    namespace = dataset["metadata"]["namespace"]
    version = get(cluster, "datasetversion", dataset["status"]["lastGood"]["name"], namespace)
    kept = get(cluster, "configmap", version["spec"]["profile"]["configMap"], namespace)
    profile: Manifest = json.loads(kept["data"]["profile.json"])
    return profile


def table(profile: Manifest, *, columns: int) -> Table:
    """The first columns of a profile, and how many more there are."""
    shown = profile["columns"][:columns]
    more = len(profile["columns"]) + profile.get("omittedColumns", 0) - len(shown)
    caption = f"and {more} more columns" if more else None
    result = Table("column", "type", "nulls", "min", "mean", "max", "distribution", caption=caption)
    for column in shown:
        mean = column.get("mean")
        values = (column.get("min") or "", f"{mean:.4g}" if mean is not None else "", column.get("max") or "")
        result.add_row(column["name"], column["type"], str(column["nulls"]), *values, bars(shares_of(column)))
    return result


def shares_of(column: Manifest) -> list[float]:
    """Shares of the rows by cells of one width, or by frequent value where there are no bins."""
    if shares := column.get("shares"):
        return _of_one_width(column["edges"], shares)
    rows = column["count"] + column["nulls"]
    return [value["count"] / rows for value in column.get("top", []) if rows]


def _of_one_width(edges: list[float], shares: list[float]) -> list[float]:
    """Bins hold about as many rows each, so it is their widths that differ: spread each evenly over what it covers."""
    if edges[-1] <= edges[0]:
        return [float(share) for share in shares]
    width = (edges[-1] - edges[0]) / CELLS
    bins = list(zip(edges, edges[1:], shares, strict=False))
    cells = [(edges[0] + i * width, edges[0] + (i + 1) * width) for i in range(CELLS)]
    return [sum(s * max(0.0, min(b, d) - max(a, c)) / (b - a) for a, b, s in bins) for c, d in cells]


def bars(shares: list[float]) -> str:
    """A bar for each share, the largest one full."""
    most = max(shares, default=0.0)
    return "".join(LEVELS[round(share / most * (len(LEVELS) - 1))] for share in shares) if most else ""
