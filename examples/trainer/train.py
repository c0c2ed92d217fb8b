"""Train a classifier on a table of numbers: an ordinary scikit-learn script that reads its environment.

Reads every Parquet file below $KEELWAY_DATA_TRAINING, cross-validates a gradient boosting classifier with the
parameters in KEELWAY_PARAM_* (any that scikit-learn's HistGradientBoostingClassifier takes), appends one line with
`auc` and `accuracy` to $KEELWAY_METRICS, and writes the model, fitted on all rows, to $KEELWAY_MODEL_DIR/model.joblib.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import duckdb
import joblib
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_validate

Array = np.ndarray[Any, Any]


def read_table(folder: Path) -> dict[str, Array]:
    """Columns of all Parquet files below a folder, by name."""
    if not any(folder.rglob("*.parquet")):
        sys.exit(f"there is no Parquet file below {folder}")
    files = str(folder / "**" / "*.parquet")
    return duckdb.execute("SELECT * FROM read_parquet(?, union_by_name = true)", [files]).fetchnumpy()


def features_and_label(table: dict[str, Array], label: str) -> tuple[Array, Array]:
    """Features of shape (rows, columns), missing values as NaN, and the label of shape (rows,)."""
    if label not in table:
        sys.exit(f"there is no column {label!r} to predict; the table has {', '.join(table)}")
    features = {name: column for name, column in table.items() if name != label}
    if words := [name for name, column in features.items() if column.dtype.kind not in "biuf"]:
        sys.exit(f"only columns of numbers can be learned from; these are not: {', '.join(words)}")
    columns = [np.ma.filled(column.astype("float64"), np.nan) for column in features.values()]
    return np.column_stack(columns), np.ma.getdata(table[label])


def parameters() -> dict[str, Any]:
    """Hyper-parameters from KEELWAY_PARAM_*, as numbers where they are numbers."""
    prefix = "KEELWAY_PARAM_"
    given = {name.removeprefix(prefix).lower(): text for name, text in os.environ.items() if name.startswith(prefix)}
    return {name: number(text) for name, text in given.items()}


def number(text: str) -> Any:
    """`"3"` as 3, `"0.1"` as 0.1, `"true"` as True; words stay words."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def evaluate(
    model: HistGradientBoostingClassifier, features: Array, label: Array, *, folds: int, seed: int
) -> dict[str, float]:
    """Means over the folds; with more than two classes the AUC is that of each class against the rest."""
    auc = "roc_auc" if len(np.unique(label)) == 2 else "roc_auc_ovr"
    split = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    scores = cross_validate(
        model, features, label, cv=split, scoring={"auc": auc, "accuracy": "accuracy"}, error_score="raise"
    )
    return {name: round(float(scores[f"test_{name}"].mean()), 6) for name in ("auc", "accuracy")}


def main() -> None:
    """Read, evaluate, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--label", default=os.environ.get("LABEL", "target"), help="column to predict")
    parser.add_argument("--folds", type=int, default=3)
    arguments = parser.parse_args()
    seed = int(os.environ.get("KEELWAY_SEED") or 0)

    features, label = features_and_label(read_table(Path(os.environ["KEELWAY_DATA_TRAINING"])), arguments.label)
    model = HistGradientBoostingClassifier(random_state=seed, **parameters())
    metrics = evaluate(model, features, label, folds=arguments.folds, seed=seed)
    print(f"{len(label)} rows, {features.shape[1]} features: {metrics}", flush=True)

    joblib.dump(model.fit(features, label), Path(os.environ["KEELWAY_MODEL_DIR"]) / "model.joblib")
    with open(os.environ["KEELWAY_METRICS"], "a") as lines:
        lines.write(json.dumps(metrics) + "\n")


if __name__ == "__main__":
    main()
