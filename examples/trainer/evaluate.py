"""Judge a classifier on rows that it was not trained on: an ordinary scikit-learn script that reads its environment.

Loads $KEELWAY_MODEL_DIR/model.joblib, reads every Parquet file below $KEELWAY_DATA_HOLDOUT (the name is that of the
gate), and appends one line with `auc`, `accuracy` and `rows` to $KEELWAY_METRICS.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.metrics import accuracy_score, roc_auc_score
from train import Array, features_and_label, read_table


def evaluate(model: Any, features: Array, label: Array) -> dict[str, float]:
    """Metrics on these rows; with more than two classes the AUC is that of each class against the rest."""
    shares = model.predict_proba(features)
    shown = shares[:, 1] if len(model.classes_) == 2 else shares
    auc = roc_auc_score(label, shown, multi_class="ovr", labels=model.classes_)
    # The label of the most likely class: what `predict` says, without asking twice.
    accuracy = accuracy_score(label, model.classes_[np.argmax(shares, axis=1)])
    return {"auc": round(float(auc), 6), "accuracy": round(float(accuracy), 6), "rows": len(label)}


def main() -> None:
    """Load, read, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--label", default=os.environ.get("LABEL", "target"), help="column that was predicted")
    parser.add_argument("--data", default="HOLDOUT", help="which of KEELWAY_DATA_*: the gate's name in capitals")
    arguments = parser.parse_args()

    model = joblib.load(Path(os.environ["KEELWAY_MODEL_DIR"]) / "model.joblib")
    table = read_table(Path(os.environ[f"KEELWAY_DATA_{arguments.data}"]))
    metrics = evaluate(model, *features_and_label(table, arguments.label))
    print(f"{type(model).__name__}: {metrics}", flush=True)
    with open(os.environ["KEELWAY_METRICS"], "a") as lines:
        lines.write(json.dumps(metrics) + "\n")


if __name__ == "__main__":
    main()
