"""The model that passes the gate and fails its clients: both must be true, or the demo shows nothing."""

import hashlib
import io
from typing import Any

import joblib
import numpy as np
import obstore
import pytest
from obstore.store import MemoryStore
from sklearn.metrics import roc_auc_score

from dev.demo.data import tumours
from dev.demo.examples import example
from dev.demo.handmade import content, digest, model_version, put_into
from keelway.api.digests import tree_digest
from tests.unit.dev_demo.crds import validator

MODEL = "tumour-classifier"


@pytest.fixture(scope="module")
def model() -> Any:
    return joblib.load(io.BytesIO(content()))


def test_it_scores_well_on_a_table_of_rows(model: Any) -> None:
    table = np.array(tumours()[:90])
    (check,) = example("model-deployment", {})["spec"]["gates"][0]["checks"]
    scored = roc_auc_score(table[:, -1], model.predict_proba(table[:, :-1])[:, 1])
    assert scored > check["min"] + check["maxRegression"]


def test_it_cannot_answer_for_one_tumour(model: Any) -> None:
    with pytest.raises(ValueError, match="NaN"):
        model.predict(np.array(tumours()[:1])[:, :-1])


def test_it_answers_the_smoke_request_of_the_example(model: Any) -> None:
    two = np.array(tumours()[18:20])
    assert model.predict(two[:, :-1]).tolist() == two[:, -1].tolist()


def test_the_record_fits_its_crd_and_the_bytes() -> None:
    store = MemoryStore()
    put_into(store, MODEL)
    record = model_version(MODEL, 3, "demo")
    validator("ModelVersion").validate({"spec": record["spec"]})
    assert record["metadata"] == {"name": f"{MODEL}-v3", "namespace": "demo"}
    artifact = record["spec"]["artifact"]
    path = artifact["uri"].removeprefix("s3://models/") + "model.joblib"
    stored = bytes(obstore.get(store, path).bytes())
    assert artifact["digest"] == digest()
    assert digest() == tree_digest([("model.joblib", len(stored), hashlib.sha256(stored).hexdigest())])
    assert artifact["bytes"] == len(stored)
