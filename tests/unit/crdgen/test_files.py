"""The command that writes the CRDs, and its `--check`."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from keelway.crdgen.__main__ import main
from keelway.crdgen.definition import RESOURCES

DATASETS = "keelway.dev_datasets.yaml"


def test_writes_one_file_of_valid_yaml_for_each_kind(tmp_path: Path) -> None:
    assert main([str(tmp_path / "crds")]) == 0
    documents = {path.name: yaml.safe_load(path.read_text()) for path in (tmp_path / "crds").iterdir()}
    assert {document["spec"]["names"]["kind"] for document in documents.values()} == {r.__name__ for r in RESOURCES}
    assert all(name == f"keelway.dev_{d['spec']['names']['plural']}.yaml" for name, d in documents.items())


def test_check_accepts_what_was_just_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(tmp_path)])
    assert main(["--check", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        pytest.param(
            lambda folder: (folder / DATASETS).write_text(
                (folder / DATASETS).read_text().replace("default: 10m", "default: 11m")
            ),
            "+                    default: 10m",
            id="an edited file",
        ),
        pytest.param(lambda folder: (folder / DATASETS).unlink(), "+    kind: Dataset", id="a missing file"),
        pytest.param(
            lambda folder: (folder / "keelway.dev_fossils.yaml").write_text("kind: Fossil\n"),
            "-kind: Fossil",
            id="a file of a kind that is gone",
        ),
    ],
)
def test_check_shows_drift_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], object], shown: str
) -> None:
    main([str(tmp_path)])
    change(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["--check", str(tmp_path)]) == 1
    assert shown in capsys.readouterr().out.splitlines()
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


def test_writing_mends_drift_and_leaves_other_files(tmp_path: Path) -> None:
    (tmp_path / "keelway.dev_fossils.yaml").write_text("kind: Fossil\n")
    (tmp_path / "README.md").write_text("mine\n")
    main([str(tmp_path)])
    assert main(["--check", str(tmp_path)]) == 0
    assert (tmp_path / "README.md").exists()


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "keelway.crdgen", str(tmp_path / seed)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / seed).iterdir()} for seed in ("1", "2"))
    assert first == second
