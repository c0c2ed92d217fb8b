"""MLflow is told of a trial, once, and a server that does not listen costs the trial nothing but a sentence."""

from __future__ import annotations

import json
import re
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from keelway.api.digests import sha256
from keelway.api.jobs import CollectOrder, CollectVerdict, Location
from keelway.api.tracking import MlflowOrder, TrackedInput
from keelway.worker import collect, mlflow
from keelway.worker.mlflow import log, metric_names
from tests.unit.worker.builders import write_metrics, write_secret
from tests.unit.worker.cloud_servers import free_port
from tests.unit.worker.mlflow_server import Mlflow, Reply, Request, forward, mlflow_server, stranger

CHURN = f"listing:sha256:{sha256(b'churn')}"
MODEL, OTHER_MODEL = f"sha256:{sha256(b'model')}", f"sha256:{sha256(b'another')}"
TAGS = {"keelway.namespace": "ml", "keelway.experiment": "churn", "keelway.job": "churn-t3-01234567"}
CURVE = ((1, 0.5), (2, 0.75), (3, 0.9))
INPUTS = (
    TrackedInput(
        name="training",
        dataset="churn",
        dataset_version="churn-v7",
        digest=CHURN,
        uri="s3://lake/churn/",
        split="train",
    ),
    TrackedInput(name="codes", dataset="zip-codes", digest="native:hf:0123456789", uri="https://host/codes.csv"),
)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time for a server on a busy machine; how little a trial gives one is tested with servers that are worse."""
    monkeypatch.setattr(mlflow, "SECONDS", 60.0)
    monkeypatch.setattr(mlflow, "MOST_SECONDS", 61.0)


@pytest.fixture
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little time, for what never ends."""
    monkeypatch.setattr(mlflow, "SECONDS", 0.5)
    monkeypatch.setattr(mlflow, "MOST_SECONDS", 1.0)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow, "PAUSES", (0.0, 0.0, 0.0))


@pytest.fixture
def order(server: Mlflow, patience: None, request: pytest.FixtureRequest) -> MlflowOrder:
    """Tells the real server of a trial, in an experiment of the test's own."""
    del patience
    return an_order(server.uri, experiment=f"ml/{request.node.name}")


def an_order(uri: str, **fields: Any) -> MlflowOrder:
    given: dict[str, Any] = {
        "uri": uri,
        "experiment": "ml/churn",
        "run_name": "run 4 trial 3",
        "trial": "0123456789ab/3",
        "objective": "auc",
        "tags": TAGS,
        "parameters": {"depth": 4, "rate": 1e-05, "booster": "dart"},
        "inputs": INPUTS,
        "artifact_uri": "s3://models/churn/0123456789ab/3",
    }
    return MlflowOrder(**{**given, **fields})


def tell(order: MlflowOrder, **facts: Any) -> tuple[str, str]:
    """Log a trial that went well, unless `facts` say something else."""
    given = {"metrics": {"auc": 0.9, "loss": 0.2}, "curve": CURVE, "digest": MODEL, "directory": MODEL[7:19]}
    return log(order, **{**given, **facts})


def told(order: MlflowOrder, **facts: Any) -> str:
    run, error = tell(order, **facts)
    assert error == ""
    return run


def untold(order: MlflowOrder) -> str:
    """Why a server that has nothing of a trial was not told."""
    run, error = tell(order)
    assert (run, bool(error), len(error) <= 300) == ("", True, True)
    return error


# With a real server.


def test_all_that_is_known_of_a_trial_can_be_read_there(order: MlflowOrder, server: Mlflow) -> None:
    before = int(time.time() * 1000)
    run = server.run(told(order))
    assert run.params == {"depth": "4", "rate": "1e-05", "booster": "dart"}
    assert run.metrics == {"auc": 0.9, "loss": 0.2}
    assert run.history("auc") == list(CURVE)
    assert run.history("loss") == [(3, 0.2)]
    assert run.tags == {
        **TAGS,
        "mlflow.runName": "run 4 trial 3",
        "keelway.trial_id": "0123456789ab/3",
        "keelway.model.digest": MODEL,
        "keelway.model.uri": f"s3://models/churn/0123456789ab/3/{MODEL[7:19]}",
    }
    assert (run.status, run.run["info"]["run_name"]) == ("FINISHED", "run 4 trial 3")
    assert run.run["info"]["start_time"] <= before <= run.run["info"]["end_time"]
    assert [found.id for found in server.runs(order.experiment)] == [run.id]


def test_data_sets_are_inputs_with_their_digests(order: MlflowOrder, server: Mlflow) -> None:
    inputs = {dataset["name"]: (dataset, tags) for dataset, tags in server.run(told(order)).inputs}
    churn, tags = inputs["churn"]
    assert churn["digest"] == sha256(b"churn")[:36]
    assert (churn["source_type"], json.loads(churn["source"])) == ("s3", {"uri": "s3://lake/churn/"})
    assert tags == {
        "mlflow.data.context": "training",
        "keelway.digest": CHURN,
        "keelway.split": "train",
        "keelway.dataset_version": "churn-v7",
    }
    codes, tags = inputs["zip-codes"]
    assert (codes["digest"], codes["source_type"]) == ("0123456789", "http")
    assert tags == {"mlflow.data.context": "codes", "keelway.digest": "native:hf:0123456789"}


def test_a_failed_trial_is_there_as_failed(order: MlflowOrder, server: Mlflow) -> None:
    facts = {"metrics": {}, "digest": "", "directory": "", "outcome": "Failed", "reason": "MetricMissing"}
    run = server.run(told(order, **facts))
    assert (run.status, run.tags["keelway.reason"]) == ("FAILED", "MetricMissing")
    assert run.history("auc") == list(CURVE), "what is known of it"
    assert run.params["depth"] == "4"
    assert "keelway.model.uri" not in run.tags


def test_the_result_is_what_is_shown_also_where_the_curve_ended_better(order: MlflowOrder, server: Mlflow) -> None:
    run = server.run(told(order, metrics={"auc": 0.6}))
    assert run.metrics == {"auc": 0.6}
    assert run.history("auc") == [(1, 0.5), (2, 0.75), (3, 0.6)]


def test_a_trial_that_is_told_of_twice_is_there_once(order: MlflowOrder, server: Mlflow) -> None:
    assert told(order) == told(order)
    (run,) = server.runs(order.experiment)
    assert run.history("auc") == list(CURVE)


def test_after_a_failed_attempt_one_run_is_finished(order: MlflowOrder, server: Mlflow) -> None:
    first = told(order, metrics={}, digest="", outcome="Failed", reason="MetricMissing")
    second = told(order.model_copy(update={"tags": {**TAGS, "keelway.attempt": "1"}}))
    assert {run.id: run.status for run in server.runs(order.experiment)} == {first: "FAILED", second: "FINISHED"}


def test_another_model_of_the_same_trial_takes_the_firsts_place(order: MlflowOrder, server: Mlflow) -> None:
    """The first one's verdict was lost with its pod, and the trainer does not make the same bytes twice."""
    first, second = told(order), told(order, digest=OTHER_MODEL)
    assert {run.id: run.status for run in server.runs(order.experiment)} == {first: "KILLED", second: "FINISHED"}
    assert server.run(first).tags["keelway.superseded_by"] == second


def test_other_trials_have_runs_of_their_own(order: MlflowOrder, server: Mlflow) -> None:
    runs = {told(order), told(order.model_copy(update={"trial": "0123456789ab/4"}))}
    assert {run.id for run in server.runs(order.experiment) if run.status == "FINISHED"} == runs
    assert len(runs) == 2


def test_the_first_trials_of_an_experiment_may_end_together(order: MlflowOrder, server: Mlflow) -> None:
    orders = [order.model_copy(update={"trial": f"0123456789ab/{number}"}) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        runs = set(pool.map(told, orders))
    assert {run.id: run.status for run in server.runs(order.experiment)} == dict.fromkeys(runs, "FINISHED")
    assert len(runs) == 4


RACE = b'{"error_code": "BAD_REQUEST", "message": "(sqlite3.IntegrityError) UNIQUE constraint failed"}'


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(
    "step", ["experiments/create", "runs/create", "runs/log-batch", "runs/log-inputs", "runs/update"]
)
@pytest.mark.parametrize("lost", [Reply(503), Reply(400, RACE), None], ids=["busy", "race", "hangs-up"])
def test_an_answer_that_is_lost_makes_nothing_twice(
    order: MlflowOrder, server: Mlflow, step: str, lost: Reply | None
) -> None:
    losses: list[str] = []

    def answer(request: Request) -> Reply | None:
        reply = forward(server, request)
        if request.path.endswith(step) and not losses:
            losses.append(step)
            return lost
        return reply

    with stranger(answer) as front:
        run = told(order.model_copy(update={"uri": front.uri}))
    assert losses == [step]
    (found,) = server.runs(order.experiment)
    assert (found.id, found.status) == (run, "FINISHED")
    assert found.history("auc") == list(CURVE)
    assert len(found.inputs) == 2


def test_what_is_as_large_as_a_trial_can_be_arrives_whole(order: MlflowOrder, server: Mlflow) -> None:
    parameters: dict[str, float | int | str] = {f"p{number}": "ü" * 256 for number in range(64)}
    metrics = {"auc": 0.5, **{f"m{number}": float(number) for number in range(49)}}
    curve = tuple((step, step / 100) for step in range(60))
    run = server.run(told(order.model_copy(update={"parameters": parameters}), metrics=metrics, curve=curve))
    assert run.params == parameters
    assert run.metrics == metrics
    assert len(run.history("auc")) == 60


ODD_NAMES = ["größe", "val:auc", "top-5 %", "a/b", "a//b", "/a", "../a", ".", "", "auc@1", "auc#1", "x" * 300, "a\nb"]


def test_names_that_mlflow_refuses_are_changed_and_none_is_lost(order: MlflowOrder, server: Mlflow) -> None:
    metrics = {"auc": 0.9, **{name: float(number) for number, name in enumerate(ODD_NAMES)}}
    found = server.run(told(order, metrics=metrics, curve=())).metrics
    assert found == {metric_names(list(metrics))[name]: value for name, value in metrics.items()}
    assert len(found) == len(metrics)
    assert (found["größe"], found["a/b"]) == (0.0, 3.0)


def test_a_deleted_experiment_is_named(order: MlflowOrder, server: Mlflow) -> None:
    made = server.post("experiments/create", name=order.experiment)["experiment_id"]
    server.post("experiments/delete", experiment_id=made)
    assert re.search(r"the experiment 'ml/.+' is deleted at http://127.+: restore it", untold(order))


def test_a_host_name_that_the_server_does_not_take_is_explained(
    order: MlflowOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, port = socket.getaddrinfo("127.0.0.1", None, type=socket.SOCK_STREAM), int(order.uri.rpartition(":")[2])
    found = [(*kind, (address[0], port)) for *kind, address in here]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert "--allowed-hosts" in untold(order.model_copy(update={"uri": f"http://mlflow.infra:{port}"}))


# Through `collect`.


@pytest.fixture
def trial(tmp_path: Path) -> CollectOrder:
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.joblib").write_bytes(b"weights")
    lines = [{"step": step, "auc": value} for step, value in CURVE]
    metrics = write_metrics(tmp_path / "metrics.jsonl", *lines, {"auc": 0.9, "loss": 0.2})
    return CollectOrder(
        metrics_file=str(metrics),
        model_dir=str(model),
        objective="auc",
        destination=Location(mount=str(tmp_path / "claim")),
    )


def collected(trial: CollectOrder, order: MlflowOrder) -> CollectVerdict:
    return collect.collect(trial.model_copy(update={"mlflow": order}))


def test_collect_tells_of_the_trial_and_says_which_run_it_is(
    trial: CollectOrder, order: MlflowOrder, server: Mlflow
) -> None:
    verdict = collected(trial, order)
    assert (verdict.outcome, verdict.mlflow_error) == ("Collected", "")
    run = server.run(verdict.mlflow_run)
    assert (run.status, run.metrics) == ("FINISHED", verdict.metrics)
    assert run.history("auc") == list(CURVE)
    assert run.tags["keelway.model.digest"] == verdict.digest
    assert run.tags["keelway.model.uri"] == f"{order.artifact_uri}/{verdict.directory}"


def test_collect_tells_of_a_trial_without_a_result(trial: CollectOrder, order: MlflowOrder, server: Mlflow) -> None:
    write_metrics(Path(trial.metrics_file), {"loss": 1})
    verdict = collected(trial, order)
    assert (verdict.outcome, verdict.reason) == ("Failed", "MetricMissing")
    assert server.run(verdict.mlflow_run).status == "FAILED"


@pytest.mark.usefixtures("no_pauses")
def test_without_a_server_the_trial_is_what_it_would_have_been(trial: CollectOrder) -> None:
    alone = collect.collect(trial)
    verdict = collected(trial, an_order(f"http://127.0.0.1:{free_port()}"))
    assert re.fullmatch(r"http://127.0.0.1:\d+ refuses connections: .*", verdict.mlflow_error)
    assert verdict.model_copy(update={"mlflow_error": ""}) == alone
    assert verdict.outcome == "Collected"


# With servers that are none, or do badly.


def test_a_trial_gives_a_server_ten_seconds_at_most() -> None:
    assert mlflow.SECONDS < mlflow.MOST_SECONDS <= 10


@pytest.mark.usefixtures("haste")
def test_a_server_that_never_answers_is_left(silent_server: socket.socket) -> None:
    began = time.monotonic()
    assert "does not answer within" in untold(an_order(f"http://127.0.0.1:{silent_server.getsockname()[1]}"))
    assert time.monotonic() - began < 5


@pytest.mark.usefixtures("haste")
def test_a_server_that_never_finishes_an_answer_is_left(silent_server: socket.socket) -> None:
    """Each byte comes soon enough."""
    with ThreadPoolExecutor(1) as pool:
        trickling = pool.submit(trickle, silent_server)
        error = untold(an_order(f"http://127.0.0.1:{silent_server.getsockname()[1]}"))
        assert trickling.result(10) > 1
    assert "does not answer within" in error


def trickle(listener: socket.socket) -> int:
    """Send a header that has no end to the first that asks, until it goes away; how many bytes that were."""
    connection, _ = listener.accept()
    pace = Event()
    with closing(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        for sent in range(10_000):
            try:
                connection.sendall(b"x")
            except OSError:
                return sent
            pace.wait(0.02)
    return 0


@pytest.mark.usefixtures("patience")
def test_an_answer_without_an_end_is_not_read_to_its_end(silent_server: socket.socket) -> None:
    with ThreadPoolExecutor(1) as pool:
        flooding = pool.submit(flood, silent_server)
        error = untold(an_order(f"http://127.0.0.1:{silent_server.getsockname()[1]}"))
        assert flooding.result(10) < 64
    assert "does not answer experiments/get-by-name as an MLflow server does" in error


def flood(listener: socket.socket) -> int:
    """Send a body that has no end to the first that asks, until it goes away; how many MiB that were."""
    connection, _ = listener.accept()
    with closing(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for sent in range(2000):
            try:
                connection.sendall(b"[" * 2**20)
            except OSError:
                return sent
    return 2000


@pytest.mark.usefixtures("haste")
def test_a_name_server_that_never_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    released = Event()

    def never(*_: object, **__: object) -> list[object]:
        released.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", never)
    began = time.monotonic()
    try:
        assert "does not answer within" in untold(an_order("http://mlflow.infra:5000"))
        assert time.monotonic() - began < 5
    finally:
        released.set()


HTML = b"<!doctype html><title>Sign in</title>"
FOUND = json.dumps({"experiment": {"experiment_id": "1"}}).encode()
DENIED = json.dumps({"error_code": "PERMISSION_DENIED", "message": "no"}).encode()
RUBBISH = [
    (Reply(500, HTML), "answers experiments/get-by-name with 500$"),
    (Reply(500, b'{"error_code": "INTERNAL_ERROR"}'), "with 500 INTERNAL_ERROR$"),
    (Reply(429), "with 429$"),
    (Reply(418, b'{"error_code": "<script>"}'), "with 418$"),
    (
        Reply(401, b"You are not authenticated"),
        "refuses the credentials, or their absence: check tracking.mlflow.secretRef",
    ),
    (Reply(403, DENIED), "denies access: "),
    (Reply(404, HTML), "has no MLflow API at this path: correct the URI"),
    (Reply(200, HTML), "does not answer experiments/get-by-name as an MLflow server does"),
    (Reply(200, b""), "as an MLflow server does"),
    (Reply(200, b"[]"), "as an MLflow server does"),
    (Reply(200, b'{"experiment": null}'), "as an MLflow server does"),
    (Reply(200, b"[" * 200_000), "as an MLflow server does"),
    (Reply(200, FOUND), "does not answer runs/create as an MLflow server does"),
    (Reply(200, FOUND[:-1] + b',"run":{"info":{"run_id":"' + b"x" * 9000 + b'"}}}'), "does not answer runs/create"),
    (Reply(200, b"\x1f\x8b\x00", {"Content-Encoding": "gzip"}), "as an MLflow server does"),
    (Reply(301, b"", {"Location": "/elsewhere"}), r"redirects to http://127.0.0.1:\d+: write down the URI"),
    (Reply(302, b"", {"Location": "http://[::"}), "."),
    (None, "does not answer as an HTTP server does"),
]


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(("reply", "expected"), RUBBISH)
def test_whatever_a_server_answers_is_a_sentence(reply: Reply | None, expected: str) -> None:
    with stranger(lambda _: reply) as server:
        assert re.search(expected, untold(an_order(server.uri)))


@pytest.mark.usefixtures("no_pauses")
def test_what_goes_wrong_after_the_run_was_made_names_both(server: Mlflow, patience: None) -> None:
    del patience
    with stranger(lambda asked: Reply(500) if asked.path.endswith("log-inputs") else forward(server, asked)) as front:
        run, error = tell(an_order(front.uri, experiment="ml/half-told"))
    assert error == f"{front.uri} answers runs/log-inputs with 500"
    assert server.run(run).status == "RUNNING"


# Secrets.

TOKEN, PASSWORD = "token-7Jw2", "pass-9Kx3"


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ({"MLFLOW_TRACKING_TOKEN": f"{TOKEN}\n"}, f"Bearer {TOKEN}"),
        (
            {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": PASSWORD},
            f"Basic {b64encode(f'ann:{PASSWORD}'.encode()).decode()}",
        ),
    ],
)
def test_credentials_go_to_the_server_and_nowhere_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], secret: dict[str, str], expected: str
) -> None:
    """Nor into what is said of a server that sends them back."""
    directory = write_secret(tmp_path / "login", **secret)

    def echo(request: Request) -> Reply:
        sent = request.headers["Authorization"]
        return Reply(401, json.dumps({"error_code": sent, "message": sent}).encode())

    with stranger(echo) as server:
        error = untold(an_order(server.uri, secret_dir=str(directory), secret_name="login"))
    assert [request.headers["Authorization"] for request in server.asked] == [expected]
    assert error.endswith("refuses the credentials, or their absence: check the Secret 'login'")
    said = "".join(capfd.readouterr())
    assert not any(word in said + error for word in (TOKEN, PASSWORD, expected.split()[1]))


def test_a_redirect_takes_no_credentials_along(tmp_path: Path) -> None:
    directory = write_secret(tmp_path / "login", MLFLOW_TRACKING_TOKEN=TOKEN)
    with stranger(lambda _: Reply()) as other:
        location = {"Location": f"http://user:pass@{other.uri.removeprefix('http://')}/x?token=abc"}
        with stranger(lambda _: Reply(307, b"", location)) as server:
            error = untold(an_order(server.uri, secret_dir=str(directory), secret_name="login"))
    assert other.asked == []
    assert error == f"{server.uri} redirects to {other.uri}: write down the URI that it ends at"


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        (None, "the Secret 'login' does not exist or is empty"),
        ({"MLFLOW_TRACKING_USERNAME": "ann"}, "the Secret 'login' has no MLFLOW_TRACKING_PASSWORD"),
        ({"PASSWORD": PASSWORD}, "the Secret 'login' has no MLFLOW_TRACKING_TOKEN"),
        ({"MLFLOW_TRACKING_TOKEN": f"{TOKEN}\nX-Other: 1"}, "has characters that no header can carry"),
        ({"MLFLOW_TRACKING_TOKEN": f"{TOKEN}-ü"}, "has characters that no header can carry"),
    ],
)
def test_a_secret_that_is_no_use_is_explained_and_nobody_is_asked(
    tmp_path: Path, secret: dict[str, str] | None, expected: str
) -> None:
    directory = tmp_path / "login"
    if secret is not None:
        write_secret(directory, **secret)
    with stranger(lambda _: Reply()) as server:
        error = untold(an_order(server.uri, secret_dir=str(directory), secret_name="login"))
    assert expected in error
    assert not {TOKEN, PASSWORD} & set(re.findall(r"[\w-]+", error))
    assert server.asked == []


def test_the_right_port_of_another_protocol_is_explained() -> None:
    with stranger(lambda _: Reply()) as server:
        assert "does not speak TLS" in untold(an_order(server.uri.replace("http:", "https:")))


@pytest.mark.usefixtures("no_pauses")
def test_a_server_that_hangs_up_at_once_is_left(silent_server: socket.socket) -> None:
    def hang_up() -> None:
        for _ in range(4):
            silent_server.accept()[0].close()

    with ThreadPoolExecutor(1) as pool:
        hanging_up = pool.submit(hang_up)
        error = untold(an_order(f"http://127.0.0.1:{silent_server.getsockname()[1]}"))
        hanging_up.result(10)
    assert "does not answer as an HTTP server does" in error
