"""The example trainer and model server, run as their containers run them."""

import json
import os
import re
import runpy
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from dev.places import ROOT

SERVER = ROOT / "examples" / "server" / "server.py"
TRAINER = ROOT / "examples" / "trainer" / "train.py"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def write_parquet(query: str, file: Path, *values: int) -> None:
    rows = duckdb.sql(query, params=list(values))
    assert rows
    rows.write_parquet(str(file))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 rows in two files: the label says whether `a` exceeds `b`; one value in twelve of `b` is missing."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "deeper").mkdir()
    query = """SELECT sin(i) AS a, CASE WHEN i % 12 = 0 THEN NULL ELSE cos(i * 1.7) END AS b, i % 5 AS c,
               CAST(sin(i) > coalesce(cos(i * 1.7), 0) AS BIGINT) AS target FROM range(?, ?) t(i)"""
    for file, first, last in (("one.parquet", 0, 120), ("deeper/two.parquet", 120, 240)):
        write_parquet(query, folder / file, first, last)
    return folder


@dataclass
class Training:
    """A run of the trainer in a folder of its own."""

    folder: Path

    def environment(self, data: Path, **parameters: str) -> dict[str, str]:
        return {
            "KEELWAY_DATA_TRAINING": str(data),
            "KEELWAY_MODEL_DIR": str(self.folder),
            "KEELWAY_METRICS": str(self.folder / "metrics.jsonl"),
            "KEELWAY_SEED": "7",
            **{f"KEELWAY_PARAM_{name.upper()}": value for name, value in parameters.items()},
        }

    @property
    def metrics(self) -> list[dict[str, float]]:
        file = self.folder / "metrics.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def model(self) -> Path:
        return self.folder / "model.joblib"


def train_as_a_container(data: Path, folder: Path) -> Training:
    training = Training(folder)
    (folder / "metrics.jsonl").write_text('{"step": 1, "auc": 0.5}\n')
    environment = {**os.environ, **ONE_THREAD, **training.environment(data, max_iter="20", learning_rate="0.2")}
    subprocess.run([sys.executable, str(TRAINER)], check=True, env=environment)
    return training


@pytest.fixture(scope="module")
def trained(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    return train_as_a_container(table, tmp_path_factory.mktemp("trained"))


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Training]:
    """Runs the trainer in this process; raises what it raises."""

    def run(data: Path, *arguments: str, **parameters: str) -> Training:
        training = Training(tmp_path)
        for name, value in training.environment(data, **parameters).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", [str(TRAINER), *arguments])
        with threadpool_limits(1):
            runpy.run_path(str(TRAINER), run_name="__main__")
        return training

    return run


def test_training_adds_finite_metrics_and_keeps_a_model_that_predicts(trained: Training) -> None:
    before, metrics = trained.metrics
    assert before == {"step": 1, "auc": 0.5}
    assert set(metrics) == {"auc", "accuracy"}
    assert metrics["auc"] > 0.9
    model = joblib.load(trained.model)
    assert model.predict(np.array([[0.9, -0.9, 1.0], [-0.9, 0.9, 1.0]])).tolist() == [1, 0]


def test_training_takes_its_parameters_as_numbers(trained: Training) -> None:
    model = joblib.load(trained.model)
    assert (model.max_iter, model.learning_rate, model.random_state) == (20, 0.2, 7)


def test_the_same_seed_gives_the_same_bytes(trained: Training, table: Path, tmp_path: Path) -> None:
    again = train_as_a_container(table, tmp_path)
    assert again.metrics == trained.metrics
    assert again.model.read_bytes() == trained.model.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "parameters", "message"),
    [
        (["--label=churned"], {}, "no column 'churned' to predict; the table has a, b, c, target"),
        ([], {"depth": "3"}, "unexpected keyword argument 'depth'"),
        ([], {"max_iter": "many"}, "'max_iter' parameter of .* must be an int"),
    ],
)
def test_training_fails_with_the_reason(
    table: Path,
    train: Callable[..., Training],
    tmp_path: Path,
    arguments: list[str],
    parameters: dict[str, str],
    message: str,
) -> None:
    with pytest.raises((SystemExit, TypeError, ValueError), match=message):
        train(table, *arguments, **parameters)
    assert not Training(tmp_path).metrics


def test_training_without_data_says_where_it_looked(train: Callable[..., Training], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=f"there is no Parquet file below {tmp_path / 'nothing'}"):
        train(tmp_path / "nothing")


def test_words_are_not_learned_from(train: Callable[..., Training], tmp_path: Path) -> None:
    write_parquet("SELECT 'red' AS colour, 1 AS target", tmp_path / "x.parquet")
    with pytest.raises(SystemExit, match="these are not: colour"):
        train(tmp_path)


@dataclass
class Served:
    """A running model server."""

    url: str

    def ask(self, path: str, body: Any = None) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON (or text of /metrics) and headers of an answer; with a body it is a POST."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers={"content-type": "application/json"})
        try:
            answer = urllib.request.urlopen(request, timeout=10)
        except urllib.error.HTTPError as refusal:
            answer = refusal
        with answer:
            text = answer.read().decode()
            is_json = answer.headers["content-type"] == "application/json"
            return answer.status, json.loads(text) if is_json else text, dict(answer.headers)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serves `churn` 4: two features in, class 1 where the first exceeds the second."""
    folder = tmp_path_factory.mktemp("model")
    points = np.array([[0.0, 1.0], [1.0, 0.0], [0.2, 0.9], [0.8, 0.1]])
    joblib.dump(LogisticRegression().fit(points, [0, 1, 0, 1]), folder / "model.joblib")
    command = [
        sys.executable,
        str(SERVER),
        "--model_name=x",
        "--model_name=churn",
        f"--model_dir={folder}",
        "--http_port=0",
    ]
    process = subprocess.Popen(
        [*command, "--enable_grpc=false"], env={**os.environ, "MODEL_VERSION": "4"}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    ready = re.fullmatch(r"serving churn 4 on port (\d+)\n", process.stdout.readline())
    assert ready
    yield Served(f"http://127.0.0.1:{ready[1]}")
    process.terminate()
    assert process.wait(10) == 0


def tensor(data: list[Any], *, shape: list[int], datatype: str = "FP64") -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": shape, "datatype": datatype, "data": data}]}


def test_a_prediction_for_each_row(server: Served) -> None:
    status, answer, headers = server.ask("/v2/models/churn/infer", {"id": "q1", **tensor([1, 0, 0, 1], shape=[2, 2])})
    assert (status, headers["x-model-version"]) == (200, "4")
    assert answer == {
        "id": "q1",
        "model_name": "churn",
        "model_version": "4",
        "outputs": [{"name": "predict", "shape": [2], "datatype": "INT64", "data": [1, 0]}],
    }


def test_rows_may_be_nested_lists(server: Served) -> None:
    _, answer, _ = server.ask("/v2/models/churn/infer", tensor([[1, 0], [0, 1]], shape=[2, 2], datatype="FP32"))
    assert answer["outputs"][0]["data"] == [1, 0]


@pytest.mark.parametrize(
    "path", ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/churn", "/v2/models/churn/ready"]
)
def test_health_and_metadata(server: Served, path: str) -> None:
    assert server.ask(path)[0] == 200


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "Expecting property name"),
        (b"\xff", 400, "utf"),
        ({}, 400, "missing or unknown: 'inputs'"),
        ({"inputs": []}, 400, "one input tensor"),
        (tensor([1, 2], shape=[1, 2], datatype="FP8"), 400, "missing or unknown: 'FP8'"),
        (tensor([1, 2], shape=[1, 3]), 400, "cannot reshape"),
        (tensor(["a", "b"], shape=[1, 2]), 400, "could not convert"),
        ([], 400, "one input tensor"),
        (tensor([1, 2, 3], shape=[1, 3]), 500, "X has 3 features"),
    ],
)
def test_a_bad_request_gets_a_reason_and_the_next_one_an_answer(
    server: Served, body: Any, status: int, message: str
) -> None:
    refused = server.ask("/v2/models/churn/infer", body)
    assert refused[0] == status
    assert message in refused[1]["error"]
    assert server.ask("/v2/models/churn/infer", tensor([1, 0], shape=[1, 2]))[0] == 200


@pytest.mark.parametrize(("path", "body"), [("/v2/models/other", None), ("/v2/models/other/infer", {}), ("/", None)])
def test_other_paths_are_not_served(server: Served, path: str, body: Any) -> None:
    assert server.ask(path, body)[0] == 404


def test_requests_are_counted_by_result(server: Served) -> None:
    def counted(result: str) -> float:
        text = server.ask("/metrics")[1]
        name = rf'model_predictions_total\{{model_name="churn",result="{result}",version="4"\}} (\S+)'
        found = re.search(name, text)
        return float(found[1]) if found else 0

    before = {result: counted(result) for result in ("ok", "bad_request", "error")}
    server.ask("/v2/models/churn/infer", tensor([1, 0], shape=[1, 2]))
    server.ask("/v2/models/churn/infer", {})
    server.ask("/v2/models/churn/infer", tensor([1], shape=[1, 1]))
    assert {result: counted(result) - before[result] for result in before} == {"ok": 1, "bad_request": 1, "error": 1}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, r"FileNotFoundError: needs exactly one \*\.joblib or \*\.pkl, found 0"),
        ({"a.joblib": b"junk", "b.pkl": b"junk"}, r"FileNotFoundError: needs exactly one .*, found 2"),
        ({"model.joblib": b"junk\n"}, r"\w+: .+"),
        ({"model.joblib": b"\x80\x04K\x07."}, r"TypeError: model.joblib holds a int, which cannot predict"),
        ({"model.joblib": b"cno_such_module\nModel\n."}, r"ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_a_model_that_does_not_load_ends_the_server_with_one_line(
    tmp_path: Path, files: dict[str, bytes], reason: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    command = [sys.executable, str(SERVER), f"--model_dir={tmp_path}", "--http_port=0"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert re.fullmatch(rf"cannot load the model in {re.escape(str(tmp_path))}: {reason}\n", done.stderr)
