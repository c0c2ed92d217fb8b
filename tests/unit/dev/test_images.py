"""Images of one layer, and the names that an archive gives its images."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from dev.cluster import oci
from dev.cluster.archive import image_names, normal
from dev.errors import DevError


def archive_with(folder: Path, member: str, document: Any) -> Path:
    archive = folder / "image.tar"
    content = json.dumps(document).encode()
    with tarfile.open(archive, "w") as tar:
        entry = tarfile.TarInfo(member)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return archive


@pytest.mark.parametrize(
    ("written", "listed"),
    [
        ("dev.local/keelway:1", "dev.local/keelway:1"),
        ("localhost/x:1", "localhost/x:1"),
        ("registry:5000/x:1", "registry:5000/x:1"),
        ("busybox:1", "docker.io/library/busybox:1"),
        ("library/busybox:1", "docker.io/library/busybox:1"),
    ],
)
def test_a_short_name_is_listed_with_its_registry(written: str, listed: str) -> None:
    assert normal(written) == listed


def test_names_in_what_docker_saves(tmp_path: Path) -> None:
    archive = archive_with(tmp_path, "manifest.json", [{"RepoTags": ["dev.local/a:1", "b:2"]}, {"RepoTags": None}])
    assert image_names(archive) == ["dev.local/a:1", "docker.io/library/b:2"]


def test_names_in_an_oci_archive_are_taken_from_the_fullest_annotation(tmp_path: Path) -> None:
    both = {"io.containerd.image.name": "dev.local/a:1", "org.opencontainers.image.ref.name": "1"}
    manifests = [{"annotations": both}, {"annotations": {"org.opencontainers.image.ref.name": "dev.local/b:2"}}, {}]
    assert image_names(archive_with(tmp_path, "index.json", {"manifests": manifests})) == [
        "dev.local/a:1",
        "dev.local/b:2",
    ]


def test_a_tar_without_an_index_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(DevError, match="no image archive"):
        image_names(archive_with(tmp_path, "other.json", {}))


def test_another_file_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("no tar")
    with pytest.raises(DevError, match="no image archive"):
        image_names(tmp_path / "note.txt")


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(DevError, match=r"gone\.tar is not a file"):
        image_names(tmp_path / "gone.tar")


@pytest.fixture
def image(tmp_path: Path) -> oci.Image:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return oci.Image(
        name="dev.local/p:1",
        architecture="amd64",
        files={"usr/bin/p": program},
        links={"bin": "usr/bin"},
        entrypoint=("/usr/bin/p", "--serve"),
    )


def blobs(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        members = [member for member in tar.getmembers() if member.name.startswith("blobs/sha256/")]
        return {member.name.rpartition("/")[2]: _content(tar, member) for member in members}


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None
    return file.read()


def test_an_image_can_be_found_by_its_name(image: oci.Image, tmp_path: Path) -> None:
    oci.write(image, tmp_path / "image.tar")
    assert image_names(tmp_path / "image.tar") == ["dev.local/p:1"]


def test_every_blob_is_named_by_its_digest_and_reachable_from_the_index(image: oci.Image, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    oci.write(image, archive)
    found = blobs(archive)
    assert all(hashlib.sha256(content).hexdigest() == digest for digest, content in found.items())
    with tarfile.open(archive) as tar:
        index = json.loads(_content(tar, tar.getmember("index.json")))
    manifest = json.loads(found[index["manifests"][0]["digest"].removeprefix("sha256:")])
    reached = [manifest["config"], *manifest["layers"], index["manifests"][0]]
    assert {each["digest"].removeprefix("sha256:") for each in reached} == found.keys()
    assert all(each["size"] == len(found[each["digest"].removeprefix("sha256:")]) for each in reached)


def test_the_layer_holds_files_links_and_a_folder_for_all(image: oci.Image, tmp_path: Path) -> None:
    oci.write(image, tmp_path / "image.tar")
    layer = max(blobs(tmp_path / "image.tar").values(), key=len)
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert tar.getmember("usr/bin/p").mode == 0o755
        assert tar.getmember("bin").linkname == "usr/bin"
        assert tar.getmember("tmp").mode == 0o1777
        assert {(member.uid, member.gid) for member in tar.getmembers()} == {(0, 0)}


def test_the_same_content_gives_the_same_bytes(image: oci.Image, tmp_path: Path) -> None:
    oci.write(image, tmp_path / "one.tar")
    (tmp_path / "program").touch()
    oci.write(image, tmp_path / "two.tar")
    assert blobs(tmp_path / "one.tar") == blobs(tmp_path / "two.tar")


def test_what_to_run_is_in_the_configuration(image: oci.Image, tmp_path: Path) -> None:
    oci.write(image, tmp_path / "image.tar")
    documents = [json.loads(content) for content in blobs(tmp_path / "image.tar").values() if content[:1] == b"{"]
    (configuration,) = [document for document in documents if "rootfs" in document]
    assert configuration["config"]["Entrypoint"] == ["/usr/bin/p", "--serve"]
    assert (configuration["architecture"], configuration["os"]) == ("amd64", "linux")
