"""What changes in a bucket becomes a version with a verdict; consumers only ever get one that is good."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event

import obstore
import pytest

from dev.demo.resources import condition
from keelway.api.digests import listing_digest
from tests.e2e.lake_cases import CASES, FIRST, LARGE, MORE, TOO_OLD, UNICODE
from tests.e2e.lakeside import PART_BYTES, Case, Files, Lakeside, Seen
from tests.e2e.readers import fingerprint, reader
from tests.e2e.world import Manifest, World, has_reason

DENIED = "other-keys"


@dataclass(frozen=True)
class Story:
    """Every case when its source was looked at first, and when it had changed."""

    lakeside: Lakeside
    before: Mapping[str, Seen]
    after: Mapping[str, Seen]


@pytest.fixture(scope="module")
def story(world: World) -> Story:
    """All Datasets at once, and all changes at once."""
    lakeside = Lakeside(world)
    keys = world.get("secret", "s3-access")["data"]
    wrong = {**keys, "AWS_SECRET_ACCESS_KEY": base64.b64encode(b"wrong").decode()}
    world.apply(secret(world, wrong))
    denied = Case(name="denied", before={"1.csv": FIRST}, after={"1.csv": FIRST}, spec={"access": access(world)})
    before = lakeside.begin([*CASES, denied])
    world.apply(secret(world, keys))
    return Story(lakeside, before, lakeside.change([*CASES, denied]))


def secret(world: World, data: Mapping[str, str]) -> Manifest:
    metadata = {"name": DENIED, "namespace": world.namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": dict(data)}


def access(world: World) -> Manifest:
    changed: Manifest = {**world.dataset()["spec"]["access"], "secretRef": {"name": DENIED}}
    return changed


def test_what_was_there_at_first_is_version_1_of_all_that_could_be_read(story: Story) -> None:
    read = {name: seen for name, seen in story.before.items() if name not in ("filled", "denied")}
    assert {name for name, seen in read.items() if seen.numbers != (1, 1)} == set()
    assert {name for name, seen in read.items() if seen.says("Ready") != ("True", "Ready")} == set()
    assert {name for name, seen in read.items() if seen.verdicts != {1: "Valid"}} == set()
    assert read["appended"].newest["spec"]["rows"] == 100
    assert ("Normal", "VersionCreated") in read["appended"].events


def test_an_append_is_a_version_that_consumers_get(story: Story) -> None:
    seen = story.after["appended"]
    assert (seen.numbers, seen.verdicts) == ((2, 2), {1: "Valid", 2: "Valid"})
    assert seen.newest["spec"]["rows"] == 150
    change = seen.newest["spec"]["change"]
    assert (change["from"], change["rows"], change["bytes"]) == (1, 50, len(MORE))
    assert (change["files"], change["schema"]) == ({"added": 1, "removed": 0, "modified": 0}, "None")
    assert seen.says("SourceMoved")[0] == "False"


def test_an_overwritten_file_is_a_version_and_counted_as_modified(story: Story) -> None:
    seen = story.after["overwritten"]
    change = seen.newest["spec"]["change"]
    assert (seen.numbers, change["rows"]) == ((2, 2), 0)
    assert change["files"] == {"added": 0, "removed": 0, "modified": 1}


def test_a_deleted_file_is_a_version_with_fewer_rows(story: Story) -> None:
    seen = story.after["deleted"]
    change = seen.newest["spec"]["change"]
    assert (seen.numbers, change["rows"]) == ((2, 2), -50)
    assert change["files"] == {"added": 0, "removed": 1, "modified": 0}


def test_fewer_rows_than_asked_for_keep_consumers_on_the_version_before(story: Story) -> None:
    seen = story.after["shrunk"]
    refused(seen)
    status, reason, message = seen.condition("Validated")
    assert (status, reason) == ("False", "ExpectationsFailed")
    assert "rows.maxDropPercent" in message
    assert seen.says("SourceMoved") == ("True", "SourceMovedOn")
    assert ("Warning", "ValidationFailed") in seen.events


def refused(seen: Seen) -> None:
    """The newest version is recorded as Invalid, and consumers keep the one before."""
    assert (seen.numbers, seen.verdicts) == ((2, 1), {1: "Valid", 2: "Invalid"})
    assert seen.says("Ready") == ("True", "Ready")
    assert seen.status["current"]["valid"] == "False"


def test_the_same_bytes_uploaded_again_are_no_news(story: Story) -> None:
    before, seen = story.before["repeated"], story.after["repeated"]
    assert (seen.numbers, len(seen.versions)) == ((1, 1), 1)
    assert seen.status["observation"]["outcome"] == "Unchanged"
    assert seen.status["observation"]["listing"] == before.status["observation"]["listing"]


def test_the_same_bytes_in_several_parts_have_another_etag_and_are_no_news(story: Story) -> None:
    assert len(LARGE) > PART_BYTES
    before, seen = story.before["in-parts"], story.after["in-parts"]
    assert seen.status["observation"]["listing"] != before.status["observation"]["listing"]
    assert seen.status["observation"]["outcome"] == "Unchanged"
    assert (seen.numbers, len(seen.versions)) == ((1, 1), 1)
    assert seen.says("SourceMoved")[0] == "False"


def test_one_more_column_is_let_through_and_said(story: Story) -> None:
    seen = story.after["widened"]
    assert (seen.numbers, seen.verdicts) == ((2, 2), {1: "Valid", 2: "Valid"})
    assert seen.newest["spec"]["change"]["schema"] == "Compatible"
    columns = [(column["name"], column["type"]) for column in seen.newest["spec"]["schema"]["columns"]]
    assert columns == [("id", "bigint"), ("age", "bigint"), ("city", "varchar"), ("income", "double")]
    assert ("Normal", "SchemaChanged") in seen.events


def test_a_missing_column_keeps_consumers_on_the_version_before(story: Story) -> None:
    seen = story.after["broken-schema"]
    refused(seen)
    assert seen.newest["spec"]["change"]["schema"] == "Breaking"
    status, reason, message = seen.condition("SchemaCompatible")
    assert (status, reason) == ("False", "SchemaBroken")
    assert "'city'" in message
    assert seen.says("Validated")[0] == "True"


def test_another_type_in_one_of_many_files_names_the_file(story: Story) -> None:
    seen = story.after["one-of-many"]
    status, reason, message = seen.condition("SourceReachable")
    assert (status, reason) == ("False", "SchemaMismatch")
    assert "part-3.csv" in message
    assert "'age'" in message
    kept(seen)


def kept(seen: Seen) -> None:
    """Nothing was recorded, and consumers keep what they have."""
    assert (seen.numbers, len(seen.versions)) == ((1, 1), 1)
    assert seen.says("Ready") == ("True", "Ready")
    assert seen.status["observation"]["outcome"] == "Failed"


def test_a_broken_line_names_the_file_and_the_line_but_nothing_that_is_in_it(story: Story) -> None:
    seen = story.after["broken-line"]
    status, reason, message = seen.condition("SourceReachable")
    assert (status, reason) == ("False", "SourceInvalid")
    assert "2.csv line 52 has more fields than the first line" in message
    assert "1,2,3,4" not in message
    kept(seen)


def test_values_out_of_bounds_are_counted_and_located_and_never_shown(story: Story) -> None:
    seen = story.after["bad-values"]
    refused(seen)
    (violation,) = seen.newest["status"]["violations"]
    assert (violation["check"], violation["violations"], violation["severity"]) == ("columns.age.max", 3, "Fail")
    assert violation["example"] == {"file": "2.csv", "row": 2}
    status, reason, message = seen.condition("Validated")
    assert (status, reason) == ("False", "ExpectationsFailed")
    assert "columns.age.max: 3" in message
    shown = json.dumps([seen.dataset["status"], seen.newest["status"]])
    assert not [value for value in TOO_OLD if value in shown]


def test_a_moved_distribution_is_blocked(story: Story) -> None:
    seen = story.after["drifted"]
    refused(seen)
    assert seen.says("DriftDetected") == ("True", "DriftBlocked")
    drift = seen.newest["status"]["drift"]
    assert (drift["against"], drift["level"], drift["worst"][0]["column"]) == (1, "Fail", "age")
    assert drift["worst"][0]["value"] > 0.25
    assert float(seen.status["current"]["drift"]) > 0.25
    assert ("Warning", "DriftDetected") in seen.events


def test_old_data_is_said_to_be_old_and_still_given(story: Story) -> None:
    seen = story.after["stale"]
    assert (seen.numbers, seen.verdicts) == ((1, 1), {1: "Valid"})
    assert seen.says("Validated") == ("False", "DataStale")
    assert seen.says("Ready") == ("True", "Ready")


def test_a_pin_keeps_consumers_on_a_version_while_new_ones_are_recorded(story: Story) -> None:
    seen = story.after["pinned"]
    assert (seen.numbers, seen.verdicts) == ((2, 1), {1: "Valid", 2: "Valid"})
    assert seen.says("SourceMoved") == ("True", "SourceMovedOn")


def test_an_empty_prefix_has_no_version_until_it_is_filled(story: Story) -> None:
    before, seen = story.before["filled"], story.after["filled"]
    assert before.says("Ready") == ("False", "SourceEmpty")
    assert before.says("SourceReachable") == ("False", "SourceEmpty")
    assert (before.numbers, before.versions) == ((None, None), [])
    assert (seen.numbers, seen.says("Ready")) == ((1, 1), ("True", "Ready"))


def test_an_emptied_prefix_leaves_consumers_what_they_have(story: Story) -> None:
    seen = story.after["emptied"]
    assert seen.says("SourceReachable") == ("False", "SourceEmpty")
    kept(seen)


def test_a_bucket_that_denies_says_so_until_the_keys_open_it(story: Story) -> None:
    before, seen = story.before["denied"], story.after["denied"]
    assert before.says("Ready") == ("False", "AccessDenied")
    assert before.says("SourceReachable") == ("False", "AccessDenied")
    assert before.numbers == (None, None)
    assert (seen.numbers, seen.says("SourceReachable")[0]) == ((1, 1), "True")


def test_keys_with_spaces_and_unicode_are_files_like_others(story: Story) -> None:
    seen = story.after["unicode"]
    assert (seen.numbers, seen.newest["spec"]["rows"]) == ((2, 2), 150)
    assert seen.newest["spec"]["change"]["files"] == {"added": 1, "removed": 0, "modified": 0}


def test_consumers_never_got_a_version_that_is_invalid(story: Story) -> None:
    for seen in (*story.before.values(), *story.after.values()):
        _, good = seen.numbers
        assert good is None or seen.verdicts[good] == "Valid", seen.dataset["metadata"]["name"]


def test_every_version_keeps_a_profile_that_draws_its_columns(world: World, story: Story) -> None:
    spec = story.after["appended"].newest["spec"]
    text = world.get("configmap", spec["profile"]["configMap"])["data"]["profile.json"]
    assert hashlib.sha256(text.encode()).hexdigest() == spec["profile"]["sha256"]
    profile = json.loads(text)
    columns = {column["name"]: column for column in profile["columns"]}
    assert (profile["rows"], set(columns)) == (150, {"id", "age", "city"})
    assert (float(columns["age"]["min"]), float(columns["age"]["max"])) == (20, 69)
    assert sum(columns["age"]["shares"]) == pytest.approx(1)
    assert {top["value"]: top["count"] for top in columns["city"]["top"]} == {"Ghent": 50, "Porto": 50, "Turku": 50}


def test_mended_data_is_what_consumers_get(story: Story) -> None:
    story.lakeside.put("bad-values", {"2.csv": MORE})
    story.lakeside.put("broken-line", {"2.csv": MORE})
    seen = story.lakeside.look(["bad-values", "broken-line"])
    assert seen["bad-values"].numbers == (3, 3)
    assert seen["bad-values"].verdicts == {1: "Valid", 2: "Invalid", 3: "Valid"}
    assert seen["bad-values"].newest["spec"]["change"]["from"] == 1
    assert seen["broken-line"].numbers == (2, 2)
    assert seen["broken-line"].says("SourceReachable")[0] == "True"


WRITERS, FILES = 4, 40


def test_files_that_are_rewritten_while_they_are_read_make_no_version(world: World, story: Story) -> None:
    files = {f"{n:02}.csv": rewritten(n, 0) for n in range(FILES)}
    case = Case(name="busy", before=files, after=files, spec={"refresh": {"interval": "10s"}})
    story.lakeside.begin([case])
    dataset = story.lakeside.dataset(case)
    with rewriting(story.lakeside, case.name):
        seen = world.wait(dataset, lambda found: condition(found, "SourceReachable").get("reason") == "SourceChanging")
    assert condition(seen, "Ready")["status"] == "True"
    last = story.lakeside.look([case.name])[case.name]
    assert last.says("SourceReachable")[0] == "True"
    listed = [entry for page in obstore.list(story.lakeside.store, case.name) for entry in page]
    entries = [(entry["path"].removeprefix(f"{case.name}/"), entry["size"], entry["e_tag"] or "") for entry in listed]
    assert last.status["lastGood"]["digest"] == listing_digest(entries)
    assert last.newest["spec"]["rows"] == FILES


def rewritten(number: int, edition: int) -> bytes:
    """A row, as long in every edition."""
    return f"id,age\n{number:03},{edition:012}\n".encode()


@contextmanager
def rewriting(lakeside: Lakeside, prefix: str) -> Iterator[None]:
    """All files of a prefix are rewritten without a pause."""
    stop = Event()

    def write(worker: int) -> None:
        edition = 0
        while not stop.is_set():
            edition += 1
            for number in range(worker, FILES, WRITERS):
                lakeside.put(prefix, {f"{number:02}.csv": rewritten(number, edition)})

    with ThreadPoolExecutor(WRITERS) as threads:
        done = [threads.submit(write, worker) for worker in range(WRITERS)]
        try:
            yield
        finally:
            stop.set()
        for one in done:
            one.result()


@pytest.fixture(scope="module")
def readers(world: World, story: Story) -> dict[str, Manifest]:
    """Experiments on version 1 of sources that have moved on, all applied at once."""
    assert story.after["appended"].numbers == (2, 2)
    world.bucket("models")
    names = ("appended", "in-parts", "unicode", "overwritten", "emptied")
    experiments = {name: reader(world, name, "1") for name in names}
    world.apply(*experiments.values())
    return experiments


@pytest.mark.parametrize(
    ("name", "files"),
    [
        pytest.param("appended", {"1.csv": FIRST}, id="there is a file more"),
        pytest.param("in-parts", {"1.csv": LARGE}, id="the same bytes were uploaded again"),
        pytest.param("unicode", {UNICODE: FIRST}, id="unicode and spaces in the key"),
    ],
)
def test_a_version_that_the_source_still_has_is_read_byte_by_byte(
    world: World, readers: Mapping[str, Manifest], name: str, files: Files
) -> None:
    world.wait(readers[name])
    (model,) = [m for m in world.list("modelversions") if m["spec"]["model"] == f"reads-{name}"]
    assert model["spec"]["metrics"]["files"] == len(files)
    assert model["spec"]["metrics"]["bytes"] == fingerprint(files)
    assert [given["datasetVersion"].split("-v")[-1][0] for given in model["spec"]["inputs"]] == ["1"]


@pytest.mark.parametrize("name", ["overwritten", "emptied"])
def test_a_version_that_is_gone_from_the_source_is_never_other_bytes(
    world: World, readers: Mapping[str, Manifest], name: str
) -> None:
    seen = world.wait(readers[name], has_reason("DatasetVersionGone"))
    assert "1.csv" in condition(seen, "Ready")["message"]
    assert [m for m in world.list("modelversions") if m["spec"]["model"] == f"reads-{name}"] == []
