"""`stage` of a model: its bytes are those of the record, or nothing of it is there."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keelway.api.digests import canonical_json, sha256, short, tree_digest
from keelway.api.jobs import CollectOrder, Location, StagedModel, StageOrder, StageVerdict, list_beside
from keelway.worker import collect, model_staging, stage
from keelway.worker.errors import WorkerError
from keelway.worker.storage import READ
from tests.unit.worker.builders import SECRET, Bucket, Observer, stage_input, write_metrics
from tests.unit.worker.destinations import Place, Volume
from tests.unit.worker.source_servers import Page, WebServer, web_server

FILES = {
    "MLmodel": b"flavors: {}\n",
    "code/predict ü.py": b"print('hello')\n",
    "code/deep/er/config.json": b"{}",
    "empty": b"",
    "model.bin": bytes(range(256)) * 20_000,
}
DIRECTORY = "churn/run/9"
OTHERS = ["churn/run/9/other/model.bin", "churn/run/8/model.bin", "top"]


def digest_of(files: Mapping[str, bytes]) -> str:
    return tree_digest((path, len(data), sha256(data)) for path, data in files.items())


DIGEST = digest_of(FILES)
MODEL = f"{DIRECTORY}/{short(DIGEST)}"
LIST = list_beside(MODEL)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "pod" / "model"


@pytest.fixture
def kept(place: Place, tmp_path: Path) -> Place:
    """A model that Keelway has kept, and others beside it."""
    for path, data in FILES.items():
        file = tmp_path / "trial" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    metrics = write_metrics(tmp_path / "metrics.jsonl", {"auc": 0.9})
    order = CollectOrder(
        metrics_file=str(metrics),
        model_dir=str(tmp_path / "trial"),
        objective="auc",
        destination=place.at(DIRECTORY),
    )
    assert collect.collect(order).digest == DIGEST
    for path in [*OTHERS, f"{MODEL}0/model.bin"]:
        place.put(path)
    return place


@pytest.fixture
def brought(place: Place) -> Place:
    """The same model where somebody has put it by hand: there is no list."""
    put_all(place, FILES)
    return place


def put_all(place: Place, files: Mapping[str, bytes]) -> None:
    for path, data in files.items():
        place.put(f"{MODEL}/{path}", data)


def staged(location: Location, target: Path | str = "", digest: str = DIGEST) -> StageVerdict:
    verdict = stage.run(StageOrder(model=StagedModel(location=location, digest=digest, target=str(target))))
    assert verdict.outcome == "Staged"
    return verdict


def refused(location: Location, target: Path | str = "", digest: str = DIGEST) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        staged(location, target, digest)
    assert SECRET not in caught.value.message
    if target:
        assert content(Path(target)) == {}, "nothing of another model is left"
    return caught.value


def content(directory: Path) -> dict[str, bytes]:
    """Everything below a directory, hidden files too."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("end", ["", "/"])
def test_a_model_that_was_kept_arrives_as_it_was(kept: Place, target: Path, end: str) -> None:
    verdict = staged(kept.at(f"{MODEL}{end}"), target)
    assert content(target) == FILES
    assert (verdict.files, verdict.bytes) == (len(FILES), sum(map(len, FILES.values())))


def test_so_does_one_that_was_brought_in_by_hand(brought: Place, target: Path) -> None:
    staged(brought.at(MODEL), target)
    assert content(target) == FILES


def test_without_a_target_it_is_read_and_not_kept(kept: Place, scratch: Path) -> None:
    verdict = staged(kept.at(MODEL))
    assert (verdict.files, verdict.bytes) == (len(FILES), sum(map(len, FILES.values())))
    assert content(scratch) == {}


def test_everybody_may_read_it(kept: Place, target: Path) -> None:
    staged(kept.at(MODEL), target)
    modes = {path: (target / path).stat().st_mode & 0o777 for path in ("code", "code/deep", "model.bin")}
    assert modes == {"code": 0o755, "code/deep": 0o755, "model.bin": 0o644}


# other bytes than were recorded

TAMPERED = bytes(reversed(FILES["model.bin"]))
CHANGES = {
    "tampered with": ({"model.bin": TAMPERED}, "changed: model.bin"),
    "truncated": ({"model.bin": FILES["model.bin"][:-1]}, "truncated: model.bin"),
    "emptied": ({"MLmodel": b""}, "truncated: MLmodel"),
    "grown": ({"empty": b"x"}, "changed: empty"),
    "with a file more": ({"code/sitecustomize.py": b"import os"}, "extra: code/sitecustomize.py"),
    "with several wrongs": (
        {"model.bin": TAMPERED, "MLmodel": b"f", "code/a.py": b"", "code/b.py": b""},
        "truncated: MLmodel; changed: model.bin; extra: code/a.py, code/b.py",
    ),
}


@pytest.fixture(params=list(CHANGES))
def change(request: pytest.FixtureRequest) -> tuple[dict[str, bytes], str]:
    return CHANGES[request.param]


@pytest.mark.parametrize("keep", [True, False])
def test_a_model_of_other_bytes_is_refused_and_the_files_to_blame_are_named(
    kept: Place, change: tuple[dict[str, bytes], str], target: Path, keep: bool
) -> None:
    files, words = change
    put_all(kept, files)
    error = refused(kept.at(MODEL), target if keep else "")
    assert error.reason == "ArtifactDigestMismatch"
    assert f"recorded {short(DIGEST)}, found {short(digest_of({**FILES, **files}))}" in error.message
    assert f"; {words}: restore them" in error.message


def test_without_a_list_there_is_nobody_to_blame_but_it_is_refused_all_the_same(
    brought: Place, change: tuple[dict[str, bytes], str], target: Path
) -> None:
    put_all(brought, change[0])
    error = refused(brought.at(MODEL), target)
    assert error.reason == "ArtifactDigestMismatch"
    assert f"(recorded {short(DIGEST)}, found {short(digest_of({**FILES, **change[0]}))}): restore" in error.message


def test_a_file_that_is_gone_is_named(kept: Place, target: Path) -> None:
    kept.remove(f"{MODEL}/code/deep/er/config.json")
    error = refused(kept.at(MODEL), target)
    assert error.reason == "ArtifactMissing"
    assert "missing: code/deep/er/config.json" in error.message


def test_without_a_list_a_file_that_is_gone_makes_other_bytes(brought: Place, target: Path) -> None:
    brought.remove(f"{MODEL}/code/deep/er/config.json")
    assert refused(brought.at(MODEL), target).reason == "ArtifactDigestMismatch"


def test_of_a_model_that_is_gone_nothing_but_the_list_may_be_left(kept: Place, target: Path) -> None:
    for path in FILES:
        kept.remove(f"{MODEL}/{path}")
    error = refused(kept.at(MODEL), target)
    assert error.reason == "ArtifactMissing"
    assert "there are no files at" in error.message


def test_nothing_was_ever_there(place: Place, target: Path) -> None:
    assert refused(place.at("no/such/model"), target).reason == "ArtifactMissing"
    assert refused(place.at("model"), target).reason == "ArtifactMissing"


@pytest.mark.parametrize("forged", [True, False], ids=["forged", "broken"])
def test_a_list_that_is_not_of_the_recorded_model_blames_nobody(kept: Place, target: Path, forged: bool) -> None:
    """Whoever can write over the model can write over its list, and name a file that is as it was."""
    put_all(kept, {"model.bin": TAMPERED})
    listed = json.loads(kept.content()[LIST])
    listed["files"] = [{**file, "size": 1} if file["path"] == "MLmodel" else file for file in listed["files"]]
    kept.put(LIST, canonical_json(listed) if forged else b'{"digest": "' + DIGEST.encode())
    error = refused(kept.at(MODEL), target)
    assert error.reason == "ArtifactDigestMismatch"
    assert "model.bin" not in error.message
    assert "MLmodel" not in error.message


def test_a_list_is_no_proof_of_bytes(kept: Place, target: Path) -> None:
    put_all(kept, {"model.bin": TAMPERED})
    other = digest_of({**FILES, "model.bin": TAMPERED})
    kept.put(LIST, canonical_json({"digest": DIGEST, "files": []}))
    refused(kept.at(MODEL), target)
    assert staged(kept.at(MODEL), target, other).files == len(FILES)


def test_a_message_names_a_few_files_and_no_long_name_whole(volume: Path, target: Path) -> None:
    place = Volume(Location(mount=str(volume)))
    put_all(place, FILES)
    listed = [{"path": path, "size": len(data), "sha256": sha256(data)} for path, data in FILES.items()]
    place.put(LIST, canonical_json({"digest": DIGEST, "files": listed}))
    put_all(place, {f"{number:03}{'x' * 200}": b"" for number in range(300)})
    error = refused(place.at(MODEL), target)
    assert "and 295 more" in error.message
    assert len(error.message) < 1000


# a model of one file


@pytest.mark.parametrize("end", ["", "/"])
def test_a_uri_may_name_one_file(place: Place, target: Path, end: str) -> None:
    files = {"model.joblib": b"model"}
    place.put(f"{DIRECTORY}/model.joblib", files["model.joblib"])
    place.put(f"{DIRECTORY}/model.joblib.bak")
    verdict = staged(place.at(f"{DIRECTORY}/model.joblib{end}"), target, digest_of(files))
    assert content(target) == files
    assert (verdict.files, verdict.bytes) == (1, 5)
    assert refused(place.at(f"{DIRECTORY}/model.joblib")).reason == "ArtifactDigestMismatch"


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


def test_one_file_of_a_web_server(web: WebServer, target: Path) -> None:
    web.pages["m/model.joblib"] = Page(data=b"model")
    location = Location(uri=web.url("m/model.joblib"))
    staged(location, target, digest_of({"model.joblib": b"model"}))
    assert content(target) == {"model.joblib": b"model"}
    web.pages["m/model.joblib"] = Page(data=b"modem")
    assert refused(location, digest=digest_of({"model.joblib": b"model"})).reason == "ArtifactDigestMismatch"
    assert refused(Location(uri=web.url("m/absent"))).reason == "ArtifactMissing"


def test_what_a_publisher_says_of_the_bytes_is_not_believed(web: WebServer, target: Path) -> None:
    said = {"files": [{"path": "a", "size": 5, "sha256": sha256(b"model")}]}
    web.pages |= {"m/manifest.json": Page(data=json.dumps(said).encode()), "m/a": Page(data=b"modem")}
    location = Location(uri=web.url("m/manifest.json"))
    assert refused(location, target, digest_of({"a": b"model"})).reason == "ArtifactDigestMismatch"


def test_a_file_that_changes_while_it_is_read_is_looked_at_again(web: WebServer, target: Path) -> None:
    def write_over() -> None:
        web.pages["model"] = Page(data=b"m" * 1000, etag='"2"')

    web.pages["model"] = Page(data=b"m" * 1000, etag='"1"', during=write_over)
    error = refused(Location(uri=web.url("model")), target, digest_of({"model": b"m" * 1000}))
    assert (error.reason, "while it was read" in error.message) == ("SourceChanging", True)


# a volume's own ways to lie


@pytest.fixture
def claim(volume: Path) -> Volume:
    place = Volume(Location(mount=str(volume)))
    put_all(place, FILES)
    return place


def test_a_link_is_the_file_that_it_leads_to_where_that_is_the_models(claim: Volume, target: Path) -> None:
    (claim.root / MODEL / "MLmodel").rename(claim.root / MODEL / "code" / "real")
    (claim.root / MODEL / "MLmodel").symlink_to("code/real")
    staged(claim.at(MODEL), target, digest_of({**FILES, "code/real": FILES["MLmodel"]}))
    assert not (target / "MLmodel").is_symlink()


@pytest.mark.parametrize("path", ["../../../secret", "/etc/hostname"])
def test_a_link_that_leaves_the_model_is_not_followed(claim: Volume, target: Path, path: str) -> None:
    claim.put("churn/secret", FILES["MLmodel"])
    (claim.root / MODEL / "MLmodel").unlink()
    (claim.root / MODEL / "MLmodel").symlink_to(path)
    assert refused(claim.at(MODEL), target).reason == "SourceInvalid"


def test_a_pipe_is_not_waited_for(claim: Volume, target: Path) -> None:
    os.mkfifo(claim.root / MODEL / "pipe")
    assert refused(claim.at(MODEL), target).reason == "SourceInvalid"


# stores that do not let it, which is no model's fault


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"endpoint": "http://127.0.0.1:1"}, "SourceUnreachable", id="refused"),
        pytest.param({"uri": "s3://no-such-bucket/m/1"}, "SourceUnreachable", id="no bucket"),
        pytest.param({"secret_dir": ""}, "AccessDenied", id="no credentials"),
        pytest.param({"secret_dir": "/nonexistent"}, "SecretMissing", id="no secret"),
    ],
)
def test_a_bucket_that_cannot_be_read(
    bucket: Bucket, target: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], reason: str
) -> None:
    monkeypatch.setattr(model_staging, "READ", replace(READ, retries=0, answer_seconds=2))
    assert refused(bucket.location("m/1", **changes), target).reason == reason


def test_a_server_that_never_answers(
    bucket: Bucket, silent_server: socket.socket, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_staging, "READ", replace(READ, retries=0, answer_seconds=0.5))
    endpoint = f"http://127.0.0.1:{silent_server.getsockname()[1]}"
    assert refused(bucket.location("m/1", endpoint=endpoint), target).reason == "SourceUnreachable"


def test_a_model_comes_before_the_data_and_counts_with_them(
    claim: Volume, bucket: Bucket, observe: Observer, tmp_path: Path, target: Path
) -> None:
    bucket.put("data/a.csv", "a\n1\n")
    given = stage_input(observe(bucket.location()), bucket.location(), tmp_path)
    order = StageOrder(model=StagedModel(location=claim.at(MODEL), digest=DIGEST, target=str(target)), inputs=(given,))
    verdict = stage.run(order)
    assert (verdict.files, verdict.bytes) == (len(FILES) + 1, sum(map(len, FILES.values())) + 4)
    assert content(Path(given.target)) == {"a.csv": b"a\n1\n"}
    claim.put(f"{MODEL}/MLmodel", b"other")
    (Path(given.target) / "a.csv").unlink()
    with pytest.raises(WorkerError, match="not those of the record"):
        stage.run(order)
    assert content(Path(given.target)) == {}
