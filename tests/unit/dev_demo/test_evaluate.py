"""The example evaluator, run as its container runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from dev.demo.data import as_parquet, tumours
from dev.places import ROOT

EVALUATOR = ROOT / "examples" / "trainer" / "evaluate.py"
TRAINED_ON, HOLDOUT = slice(100, 400), slice(0, 60)


def judge(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "KEELWAY_MODEL_DIR": str(folder),
        "KEELWAY_DATA_HOLDOUT": str(folder),
        "KEELWAY_METRICS": str(folder / "metrics.jsonl"),
    }
    command = [sys.executable, str(EVALUATOR), *arguments]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model, and rows that it was not trained on."""
    table = np.array(tumours()[TRAINED_ON])
    joblib.dump(
        LogisticRegression(max_iter=5000).fit(table[:, :-1], table[:, -1].astype(int)), tmp_path / "model.joblib"
    )
    (tmp_path / "rows.parquet").write_bytes(as_parquet(tumours()[HOLDOUT]))
    return tmp_path


def test_it_writes_what_it_found(folder: Path) -> None:
    done = judge(folder)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((folder / "metrics.jsonl").read_text())
    assert metrics.keys() == {"auc", "accuracy", "rows"}
    assert metrics["rows"] == 60
    assert metrics["auc"] > 0.97
    table = np.array(tumours()[HOLDOUT])
    right = joblib.load(folder / "model.joblib").predict(table[:, :-1]) == table[:, -1]
    assert metrics["accuracy"] == pytest.approx(right.mean(), abs=1e-6)


def test_it_says_which_column_is_not_there(folder: Path) -> None:
    done = judge(folder, "--label=churned")
    assert done.returncode != 0
    assert "no column 'churned'" in done.stderr
    assert not (folder / "metrics.jsonl").exists()


def test_no_model_is_an_error(folder: Path) -> None:
    (folder / "model.joblib").unlink()
    assert judge(folder).returncode != 0
    assert not (folder / "metrics.jsonl").exists()
