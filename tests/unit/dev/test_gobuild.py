"""Which Go programs there are, and what a build depends on."""

import re
import shutil
from pathlib import Path

import pytest

from dev import gobuild, gostandins
from dev.errors import DevError
from dev.gobuild import MODULES, PROGRAMS, Program, build, kubernetes_stamp, stamp_of, version


def tools(family: str) -> set[str]:
    text = (MODULES / family / "go.mod").read_text()
    block = re.search(r"^tool \((.*?)^\)", text, re.MULTILINE | re.DOTALL)
    single = re.findall(r"^tool ([^\s(]+)$", text, re.MULTILINE)
    return {*(block[1].split() if block else ()), *single}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=lambda program: program.name)
def test_every_program_is_a_tool_of_its_module(program: Program) -> None:
    assert program.package in tools(program.family)


@pytest.mark.parametrize("family", sorted({program.family for program in PROGRAMS.values()}))
def test_every_tool_of_a_module_is_a_program(family: str) -> None:
    assert tools(family) == {program.package for program in PROGRAMS.values() if program.family == family}


def test_kubernetes_takes_each_of_its_parts_from_the_same_release() -> None:
    text = (MODULES / "kubernetes" / "go.mod").read_text()
    release = version("k8s.io/kubernetes", family="kubernetes").removeprefix("v1.")
    parts = re.findall(r"^\s*(k8s\.io/\S+) => (\S+) v0\.(\S+)$", text, re.MULTILINE)
    assert len(parts) > 20
    assert {(left == right, found) for left, right, found in parts} == {(True, release)}


def test_the_linked_in_version_is_the_one_of_the_module() -> None:
    flags = list(kubernetes_stamp("v1.34.4"))
    assert "-X k8s.io/component-base/version.gitVersion=v1.34.4" in flags
    assert "-X k8s.io/client-go/pkg/version.gitMinor=34" in flags
    assert "gitVersion=v1.34.4" in " ".join(PROGRAMS["kubeadm"].flags())


def test_a_build_never_changes_the_module_files() -> None:
    assert all("-mod=readonly" in program.flags() for program in PROGRAMS.values())


@pytest.fixture
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(MODULES / "kind", tmp_path / "kind")
    monkeypatch.setattr(gobuild, "MODULES", tmp_path)
    monkeypatch.setattr(gobuild, "go_version", lambda: "go1.26.8")
    return tmp_path / "kind"


@pytest.mark.parametrize("file", ["go.mod", "go.sum"])
def test_a_program_is_built_anew_when_its_module_files_change(own_modules: Path, file: str) -> None:
    before = stamp_of(PROGRAMS["kind"])
    with (own_modules / file).open("a") as text:
        text.write("\n")
    assert stamp_of(PROGRAMS["kind"]) != before


def test_a_program_is_built_anew_with_another_go(own_modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_modules.exists()
    before = stamp_of(PROGRAMS["kind"])
    monkeypatch.setattr(gobuild, "go_version", lambda: "go1.27.0")
    assert stamp_of(PROGRAMS["kind"]) != before


def test_an_unknown_program_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DevError, match=r"no such program: kube-nothing\n.*kube-apiserver"):
        build(["kube-nothing"])


def test_a_module_that_is_not_pinned_is_an_error() -> None:
    with pytest.raises(DevError, match=r"dev/go/kind/go\.mod does not require example\.com/none"):
        version("example.com/none", family="kind")


def test_a_full_disk_is_said_before_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gobuild, "SPACE_FOR_A_BUILD", 2**60)
    monkeypatch.setattr(gobuild, "is_current", lambda _: False)
    with pytest.raises(DevError, match="GiB free; building Go programs needs"):
        build(["kind"])


def test_a_file_of_ours_takes_the_place_of_a_module_s_own_and_the_rest_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gostandins, "COPIES", tmp_path / "copies")
    family, module = tmp_path / "family", tmp_path / "module"
    (family / "instead/example.com/m/sub").mkdir(parents=True)
    (family / "instead/example.com/m/sub/a.go").write_text("ours")
    (family / "go.mod").write_text(
        "module x\n\nrequire (\n\texample.com/m v1.2.3\n\texample.com/m/sub/other v1.0.0\n)\n"
    )
    (family / "go.sum").write_text("sums")
    (module / "sub").mkdir(parents=True)
    for name in ("sub/a.go", "sub/b.go", "c.go"):
        (module / name).write_text("theirs")
    (module / "sub").chmod(0o555)
    made = gostandins.modfile(family, {"example.com/m": module}.__getitem__)
    assert made is not None
    (replaced,) = re.findall(r"^replace (\S+) => (\S+)$", made.read_text(), re.MULTILINE)
    assert replaced[0] == "example.com/m"
    copied = {path.name: path.read_text() for path in Path(replaced[1]).rglob("*.go")}
    assert copied == {"a.go": "ours", "b.go": "theirs", "c.go": "theirs"}
    assert made.with_name("go.sum").read_text() == "sums"


def test_a_whole_package_gives_way_to_one_file_and_its_subfolders_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gostandins, "COPIES", tmp_path / "copies")
    family, module = tmp_path / "family", tmp_path / "module"
    (family / "instead/example.com/m/pkg").mkdir(parents=True)
    (family / "instead/example.com/m/pkg/instead.go").write_text("ours")
    (family / "go.mod").write_text("module x\n\nrequire example.com/m v1.2.3\n")
    (family / "go.sum").write_text("sums")
    (module / "pkg/sub").mkdir(parents=True)
    for name in ("pkg/a.go", "pkg/b.go", "pkg/data.txt", "pkg/sub/a.go"):
        (module / name).write_text("theirs")
    made = gostandins.modfile(family, {"example.com/m": module}.__getitem__)
    assert made is not None
    copy = made.parent / "example.com/m"
    left = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    assert left == {"pkg/instead.go", "pkg/data.txt", "pkg/sub/a.go"}


@pytest.mark.parametrize("family", sorted(path.parent.name for path in MODULES.glob("*/instead")))
def test_every_file_of_ours_belongs_to_a_module_of_its_family(family: str) -> None:
    folder = MODULES / family
    names = gostandins.modules(folder, (folder / "go.mod").read_text())
    homeless = [
        file
        for file in gostandins.files(folder)
        if not any(file.is_relative_to(folder / "instead" / name) for name in names)
    ]
    assert names
    assert homeless == []


def test_a_program_is_built_anew_when_a_file_of_ours_changes_or_moves(own_modules: Path) -> None:
    seen = {stamp_of(PROGRAMS["kind"])}
    ours = own_modules / "instead/sigs.k8s.io/kind/a.go"
    ours.parent.mkdir(parents=True)
    for text in ("package a", "package b"):
        ours.write_text(text)
        seen.add(stamp_of(PROGRAMS["kind"]))
    ours.rename(ours.with_name("b.go"))
    seen.add(stamp_of(PROGRAMS["kind"]))
    assert len(seen) == 4


def test_most_families_build_from_their_modules_alone() -> None:
    assert gostandins.modfile(MODULES / "kind", Path) is None
