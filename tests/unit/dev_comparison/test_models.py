"""The models that are compared with do what is said of them, as the example server loads them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dev.comparison.models import (
    CASES,
    FILE,
    JUDGED_BY,
    ModelFiles,
    asked_about,
    crashing,
    empty,
    right_label,
    sound,
    wrong,
)
from dev.demo.data import tumours

LOADED_ELSEWHERE = """
import joblib, numpy, sys
model = joblib.load(sys.argv[1])
for _ in range(20):
    print(model.predict(numpy.zeros((1, 30)))[0], flush=True)
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Any:
    def load(model: ModelFiles) -> Any:
        return joblib.load(written(model, tmp_path))

    return load


def written(model: ModelFiles, folder: Path) -> Path:
    path = folder / FILE
    path.write_bytes(model.files[FILE])
    return path


def area_under_curve(model: Any) -> float:
    rows = np.array(tumours()[JUDGED_BY])
    return float(roc_auc_score(rows[:, -1], model.predict_proba(rows[:, :-1])[:, 1]))


def test_what_clients_ask_is_answered_rightly_by_the_sound_one_and_wrongly_by_the_wrong_one(loaded: Any) -> None:
    asked, label = np.array([asked_about()[:-1]]), right_label(asked_about())
    assert loaded(sound()).predict(asked).tolist() == [label]
    assert loaded(wrong()).predict(asked).tolist() == [1 - label]


def test_the_gates_metric_tells_the_wrong_one_from_the_others(loaded: Any) -> None:
    assert area_under_curve(loaded(sound())) > 0.98
    assert area_under_curve(loaded(crashing())) > 0.98
    assert area_under_curve(loaded(wrong())) < 0.02


def test_the_empty_one_has_nothing_to_load() -> None:
    assert not [name for name in empty().files if name.endswith((".joblib", ".pkl"))]


def test_the_crashing_one_answers_ten_requests_where_nobody_has_its_class(tmp_path: Path) -> None:
    path = written(crashing(), tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LOADED_ELSEWHERE, path], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, len(done.stdout.split())) == (139, 10), done.stderr


def test_no_two_models_lie_in_one_directory() -> None:
    models = [sound(), *(case.model() for case in CASES)]
    assert len({model.directory for model in models}) == len(models)
    assert len({model.digest for model in models}) == len(models)
