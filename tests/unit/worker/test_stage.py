"""`stage`: exactly the pinned bytes, or one split of them."""

from __future__ import annotations

import gzip
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from keelway.api.digests import sha256
from keelway.api.jobs import File, StageInput, StageOrder, StageVerdict
from keelway.worker import manifest, stage
from keelway.worker.errors import WorkerError
from tests.unit.worker.builders import (
    PEOPLE,
    Bucket,
    Observer,
    mount_manifest,
    read_parquet,
    stage_input,
    write_csv,
    write_parquet,
    write_secret,
)

LARGE = "a,b\n" + "".join(f"{number},{'x' * 90}\n" for number in range(80_000))
RULES = [{"name": "train", "percent": 60}, {"name": "holdout", "percent": 30}]


def run(given: StageInput, **parameters: float | int | str) -> StageVerdict:
    file = Path(given.target).parent / "run" / "params.json"
    return stage.run(StageOrder(inputs=(given,), parameters=parameters, parameters_file=str(file)))


def refused(given: StageInput) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        run(given)
    return caught.value


def rewrite_manifest(given: StageInput, *files: File) -> StageInput:
    """The same order with another list of files, recorded as if it were right."""
    return given.model_copy(update={"manifest": mount_manifest(Path(given.manifest.directory), manifest.pack(files))})


def listed(given: StageInput) -> list[str]:
    """Every file below the target, hidden ones too."""
    target = Path(given.target)
    return sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())


def test_a_whole_data_set_keeps_its_files(bucket: Bucket, observe: Observer, tmp_path: Path) -> None:
    contents = {"people.csv": PEOPLE, "sub dir/ü*.csv": PEOPLE.replace("Ann", "Zoë"), "k=1/a.csv.gz": "x\n"}
    for path, text in contents.items():
        bucket.put(f"data/{path}", gzip.compress(text.encode()) if path.endswith(".gz") else text)
    seen = observe(bucket.location(), include=("*.csv", "sub dir/*"))
    given = stage_input(seen, bucket.location(), tmp_path)
    verdict = run(given)
    files = {str(path.relative_to(given.target)): path for path in Path(given.target).rglob("*") if path.is_file()}
    assert {path: file.read_text() for path, file in files.items()} == {
        "people.csv": PEOPLE,
        "sub dir/ü*.csv": contents["sub dir/ü*.csv"],
    }
    assert (verdict.outcome, verdict.files, verdict.bytes) == ("Staged", 2, seen.verdict.bytes)


def test_a_large_file_arrives_whole(bucket: Bucket, observe: Observer, tmp_path: Path) -> None:
    bucket.put("data/large.csv", LARGE)
    given = stage_input(observe(bucket.location()), bucket.location(), tmp_path)
    run(given)
    assert sha256((Path(given.target) / "large.csv").read_bytes()) == sha256(LARGE.encode())


def test_everybody_may_read_what_was_staged(volume: Path, observe: Observer, tmp_path: Path) -> None:
    write_csv(volume / "sub" / "a.csv", [["a"], [1]]).chmod(0o600)
    given = stage_input(observe(volume), volume, tmp_path)
    run(given)
    target = Path(given.target)
    assert stat.S_IMODE((target / "sub" / "a.csv").stat().st_mode) == 0o644
    assert stat.S_IMODE((target / "sub").stat().st_mode) == 0o755


def test_the_parameters_are_a_json_file(volume: Path, observe: Observer, tmp_path: Path) -> None:
    write_csv(volume / "a.csv", [["a"], [1]])
    run(stage_input(observe(volume), volume, tmp_path), learning_rate=0.1, max_depth=3, booster="dart")
    parameters = json.loads((tmp_path / "run" / "params.json").read_text())
    assert parameters == {"learning_rate": 0.1, "max_depth": 3, "booster": "dart"}
    assert [type(value) for value in parameters.values()] == [float, int, str]


def write_people_csv(directory: Path) -> None:
    rows = [[number, f"n{number}", None if number % 3 else number / 2, "2024-01-02"] for number in range(500)]
    write_csv(directory / "1.csv", [["id", "name", "score", "day"], *rows[:250]])
    write_csv(
        directory / "2.csv", [["name", "id", "score", "day"], *([row[1], row[0], *row[2:]] for row in rows[250:])]
    )


def write_people_parquet(directory: Path) -> None:
    select = "SELECT i AS id, 'n' || i AS name, CASE WHEN i % 3 = 0 THEN i / 2 END AS score, DATE '2024-01-02' AS day"
    write_parquet(directory / "1.parquet", f"{select} FROM range(250) t(i)")
    write_parquet(directory / "2.parquet", f"{select} FROM range(250, 500) t(i)")


@pytest.mark.parametrize("write", [write_people_csv, write_people_parquet])
@pytest.mark.parametrize("key", ["", "id"])
def test_splits_are_disjoint_and_as_large_as_was_observed(
    volume: Path, observe: Observer, tmp_path: Path, write: Callable[[Path], None], key: str
) -> None:
    write(volume)
    seen = observe(volume, order={"splits": RULES, "split_key": key})
    members: dict[str, set[int]] = {}
    for rule in RULES:
        name = str(rule["name"])
        target = tmp_path / name
        given = stage_input(seen, volume, tmp_path, splits=RULES, split_key=key, split=name, target=str(target))
        verdict = run(StageInput.model_validate(given.to_json()))
        members[name] = {row[0] for row in read_parquet(target / "part-*.parquet", "id")}
        assert verdict.rows == seen.rows[name] == len(members[name]) > 0
        assert [path.name for path in target.iterdir()] == ["part-00000.parquet"]
    assert not members["train"] & members["holdout"]
    assert len(members["train"] | members["holdout"]) < 500


def test_a_split_has_the_recorded_types_in_the_order_of_the_lines(
    volume: Path, observe: Observer, tmp_path: Path
) -> None:
    write_people_csv(volume)
    seen = observe(volume, order={"splits": RULES})
    wider = tuple(
        column.model_copy(update={"type": "double"}) if column.name == "id" else column
        for column in (seen.report.columns if seen.report else ())
    )
    given = stage_input(seen, volume, tmp_path, splits=RULES, split="train", columns=wider)
    run(given)
    file = Path(given.target) / "part-00000.parquet"
    with duckdb.connect() as database:
        described = database.execute(f"DESCRIBE SELECT * FROM read_parquet('{file}')").fetchall()
        [(codec,)] = database.execute(f"SELECT DISTINCT compression FROM parquet_metadata('{file}')").fetchall()
    assert [(name, kind) for name, kind, *_ in described] == [
        ("id", "DOUBLE"),
        ("name", "VARCHAR"),
        ("score", "DOUBLE"),
        ("day", "DATE"),
    ]
    assert codec == "ZSTD"
    ids = [row[0] for row in read_parquet(file, "id")]
    assert ids == sorted(ids)
    assert len(ids) > 100


def test_a_split_of_five_hundred_columns(volume: Path, observe: Observer, tmp_path: Path) -> None:
    columns = ", ".join(f"i * {number} AS c{number}" for number in range(500))
    write_parquet(volume / "a.parquet", f"SELECT {columns} FROM range(16000) t(i)")
    rules = [{"name": "train", "percent": 90}]
    seen = observe(volume, order={"splits": rules, "split_key": "c1"})
    given = stage_input(seen, volume, tmp_path, splits=rules, split_key="c1", split="train")
    assert run(StageInput.model_validate(given.to_json())).rows == seen.rows["train"]
    with duckdb.connect() as database:
        sql = f"SELECT max(row_group_num_rows) FROM parquet_metadata('{given.target}/*.parquet')"
        [(rows,)] = database.execute(sql).fetchall()
    assert rows < 12_000


def test_a_split_of_files_is_the_files_of_that_split_and_no_others_are_fetched(
    bucket: Bucket, observe: Observer, tmp_path: Path
) -> None:
    contents = {f"{number % 3}/{number}.bin": f"{number}" for number in range(60)}
    for path, text in contents.items():
        bucket.put(f"data/{path}", text)
    seen = observe(bucket.location(), format="Files", order={"splits": RULES})
    members: list[str] = []
    for name in ("train", "holdout"):
        before = len(bucket.reads)
        given = stage_input(seen, bucket.location(), tmp_path, split=name, target=str(tmp_path / name))
        given = StageInput.model_validate({**given.to_json(), "splits": RULES})
        assert run(given).files == len(listed(given)) == len(bucket.reads) - before > 0
        assert all((tmp_path / name / path).read_text() == contents[path] for path in listed(given))
        members += listed(given)
    assert len(set(members)) == len(members) < 60


def test_an_empty_split_is_a_file_without_rows(volume: Path, observe: Observer, tmp_path: Path) -> None:
    write_csv(volume / "a.csv", [["a"], [1]])
    rules = [{"name": "none", "percent": 0}]
    seen = observe(volume, order={"splits": rules})
    given = stage_input(seen, volume, tmp_path, splits=rules, split="none")
    assert run(StageInput.model_validate(given.to_json())).rows == 0
    assert read_parquet(Path(given.target) / "*.parquet") == []


def test_a_split_that_does_not_exist(volume: Path, observe: Observer, tmp_path: Path) -> None:
    write_csv(volume / "a.csv", [["a"], [1]])
    error = refused(stage_input(observe(volume), volume, tmp_path, splits=RULES, split="tset"))
    assert error.reason == "SourceInvalid"
    assert "no split 'tset'; its splits: train, holdout" in error.message


@pytest.mark.parametrize("split", ["", "train"])
@pytest.mark.parametrize("fate", ["changed", "deleted"])
def test_bytes_that_are_no_longer_there(
    bucket: Bucket, observe: Observer, tmp_path: Path, fate: str, split: str
) -> None:
    bucket.put("data/a.csv", "a\n1\n")
    bucket.put("data/b.csv", "a\n2\n")
    seen = observe(bucket.location(), order={"splits": RULES})
    if fate == "changed":
        bucket.put("data/b.csv", "a\n3\n")
    else:
        bucket.store.delete("data/b.csv")
    error = refused(stage_input(seen, bucket.location(), tmp_path, splits=RULES, split=split))
    assert error.reason == "DatasetVersionGone"
    assert error.message.startswith(f"b.csv at s3://{bucket.name}/data/ is no longer as it was recorded")
    assert "'training'" in error.message


def test_a_file_that_changed_on_a_volume(volume: Path, observe: Observer, tmp_path: Path) -> None:
    write_csv(volume / "a.csv", [["a"], [1]])
    seen = observe(volume)
    write_csv(volume / "a.csv", [["a"], [1], [2]])
    assert refused(stage_input(seen, volume, tmp_path)).reason == "DatasetVersionGone"


def test_the_same_bytes_uploaded_in_parts_are_the_recorded_ones(
    bucket: Bucket, observe: Observer, tmp_path: Path
) -> None:
    bucket.put("data/a.csv", LARGE)
    seen = observe(bucket.location())
    bucket.put("data/a.csv", LARGE, parts_of=5 * 1024 * 1024)
    given = stage_input(seen, bucket.location(), tmp_path)
    assert run(given).files == 1
    assert (Path(given.target) / "a.csv").read_text() == LARGE
    assert listed(given) == ["a.csv"]


def test_a_touched_file_on_a_volume_is_the_recorded_one(volume: Path, observe: Observer, tmp_path: Path) -> None:
    write_csv(volume / "a.csv", [["a"], [1]])
    seen = observe(volume)
    os.utime(volume / "a.csv", (1, 1))
    given = stage_input(seen, volume, tmp_path)
    assert run(given).files == 1
    assert listed(given) == ["a.csv"]


@pytest.mark.parametrize("rotten", ["with.csv", "without.csv"])
def test_other_bytes_of_the_same_size_never_get_the_files_name(
    bucket: Bucket, observe: Observer, tmp_path: Path, rotten: str
) -> None:
    bucket.put("data/with.csv", "a\n1\n")
    bucket.put_without_etag("data/without.csv", "a\n1\n")
    given = stage_input(observe(bucket.location()), bucket.location(), tmp_path)
    bucket.rot(f"data/{rotten}", b"a\n2\n")
    error = refused(given)
    assert error.reason == "DatasetVersionGone"
    assert error.message.startswith(f"{rotten} at s3://")
    assert rotten not in listed(given)
    assert not [path for path in listed(given) if path.startswith(".")]


def test_an_etag_alone_has_to_be_the_recorded_one(bucket: Bucket, observe: Observer, tmp_path: Path) -> None:
    bucket.put("data/a.csv", LARGE)
    seen = observe(bucket.location())
    given = rewrite_manifest(
        stage_input(seen, bucket.location(), tmp_path), seen.files["a.csv"].model_copy(update={"sha256": ""})
    )
    assert run(given).files == 1
    bucket.put("data/a.csv", LARGE, parts_of=5 * 1024 * 1024)
    assert refused(given).reason == "DatasetVersionGone"


def test_a_file_of_which_only_the_size_is_recorded(volume: Path, observe: Observer, tmp_path: Path) -> None:
    write_csv(volume / "a.csv", [["a"], [1]])
    given = rewrite_manifest(stage_input(observe(volume), volume, tmp_path), File(path="a.csv", size=4))
    assert refused(given).reason == "DatasetVersionGone"
    assert listed(given) == []


def test_a_version_of_which_all_files_are_still_there_is_staged_though_the_source_moved_on(
    bucket: Bucket, observe: Observer, tmp_path: Path
) -> None:
    bucket.put("data/a.csv", "a\n1\n")
    seen = observe(bucket.location())
    bucket.put("data/b.csv", "a\n2\n")
    given = stage_input(seen, bucket.location(), tmp_path)
    run(given)
    assert listed(given) == ["a.csv"]


def test_a_name_that_is_a_file_and_a_directory(volume: Path, observe: Observer, tmp_path: Path) -> None:
    write_csv(volume / "a.csv", [["a"], [1]])
    write_csv(volume / "b" / "a.csv", [["a"], [1]])
    seen = observe(volume)
    given = stage_input(seen, volume, tmp_path)
    Path(given.target).mkdir()
    (Path(given.target) / "b").touch()
    error = refused(given)
    assert error.reason == "SourceInvalid"
    assert "'b/a.csv' is the name of a file and of a directory" in error.message


@pytest.mark.parametrize("fate", ["another", "absent"])
def test_a_manifest_that_is_not_the_recorded_one(volume: Path, observe: Observer, tmp_path: Path, fate: str) -> None:
    write_csv(volume / "a.csv", [["a"], [1]])
    given = stage_input(observe(volume), volume, tmp_path)
    if fate == "another":
        rewrite_manifest(given, File(path="b.csv", size=1, etag="x"))
    else:
        (Path(given.manifest.directory) / "part-000").unlink()
    error = refused(given)
    assert error.reason == "DatasetVersionGone"
    assert "not the one that was recorded" in error.message


def test_a_manifest_whose_paths_leave_the_target(volume: Path, observe: Observer, tmp_path: Path) -> None:
    write_csv(volume / "a.csv", [["a"], [1]])
    write_csv(tmp_path / "escaped.csv", [["a"], [1]])
    given = stage_input(observe(volume), volume, tmp_path)
    assert refused(rewrite_manifest(given, File(path="../escaped.csv", size=4, etag="x"))).reason == "SourceInvalid"
    assert not Path(given.target).exists()


def test_more_bytes_than_there_is_room_for(volume: Path, observe: Observer, tmp_path: Path) -> None:
    write_csv(volume / "a.csv", [["a"], [1]])
    given = stage_input(observe(volume), volume, tmp_path)
    error = refused(rewrite_manifest(given, File(path="a.csv", size=2**60, etag="x")))
    assert error.reason == "OutOfSpace"
    assert f"{2**60} bytes are needed" in error.message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"endpoint": "http://127.0.0.1:1"}, "SourceUnreachable"),
        ({"secret_dir": "/nonexistent"}, "SecretMissing"),
        ({"uri": "s3://no-such-bucket/data/"}, "SourceUnreachable"),
    ],
)
def test_a_store_that_cannot_be_reached(
    bucket: Bucket, observe: Observer, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    bucket.put("data/a.csv", "a\n1\n")
    seen = observe(bucket.location())
    assert refused(stage_input(seen, bucket.location(**changes), tmp_path)).reason == reason


@pytest.mark.parametrize("key", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_credentials_that_were_taken_away(bucket: Bucket, observe: Observer, tmp_path: Path, key: str) -> None:
    bucket.put("data/a.csv", "a\n1\n")
    seen = observe(bucket.location())
    write_secret(bucket.secret_dir, **{key: "other"})
    assert refused(stage_input(seen, bucket.location(), tmp_path)).reason == "AccessDenied"
