"""What a team without Keelway runs: pandas describes a Parquet file, pandera checks it. `python pandas_checks.py FILE`.

Runs in an environment of its own (see `test_profile`) and prints how many rows break each check.
"""

import json
import sys
from typing import Any

import pandas
import pandera.pandas as pandera
from pandera.errors import SchemaErrors


def schema(checks: dict[str, list[dict[str, Any]]]) -> Any:
    """A schema of pandera with the checks of each column, as `test_profile` lists them."""
    columns: dict[str, Any] = {}
    for name, wanted in checks.items():
        made: list[Any] = [getattr(pandera.Check, one["check"])(one["value"]) for one in wanted if "value" in one]
        nullable = not any(one["check"] == "not_null" for one in wanted)
        columns[name] = pandera.Column(checks=made, nullable=nullable)
    return pandera.DataFrameSchema(columns)


def main() -> None:
    """Describe, check, print."""
    path, checks = sys.argv[1], json.loads(sys.argv[2])
    frame = pandas.read_parquet(path)
    described = frame.describe(include="all")
    failures: dict[str, int] = {}
    try:
        schema(checks).validate(frame, lazy=True)
    except SchemaErrors as error:
        counts = error.failure_cases.groupby(["column", "check"]).size()
        failures = {f"{column} {check}": int(count) for (column, check), count in counts.items()}
    print(json.dumps({"rows": len(frame), "described": described.shape[1], "failures": failures}))


if __name__ == "__main__":
    main()
