"""The go.mod files that pin a family of programs."""

import pytest

from dev.gobuild import MODULES, PROGRAMS, version
from dev.golock import MODULE_OF, module_file


def replaced(old: str, new: str, number: str = "") -> dict[str, dict[str, str]]:
    return {"Old": {"Path": old}, "New": {"Path": new, "Version": number}}


def test_every_program_belongs_to_a_family_that_can_be_pinned() -> None:
    assert {program.family for program in PROGRAMS.values()} <= MODULE_OF.keys()


@pytest.mark.parametrize("family", MODULE_OF)
def test_every_family_is_pinned_with_checksums(family: str) -> None:
    module, pinned = MODULE_OF[family], version(MODULE_OF[family], family=family)
    assert f"{module} {pinned} h1:" in (MODULES / family / "go.sum").read_text()


def test_tools_requirement_and_the_lines_that_count_only_in_a_main_module() -> None:
    module = {
        "Godebug": [{"Key": "default", "Value": "go1.24"}],
        "Replace": [replaced("example.com/a", "example.com/b", "v1.0.0")],
        "Exclude": [{"Path": "example.com/c", "Version": "v2.0.0"}],
    }
    assert "\n".join(module_file("kind", "v0.33.0", module)).split("\n") == [
        "module keelway.local/kind",
        "",
        "go 1.26.0",
        "godebug default=go1.24",
        "",
        "tool (",
        "\tsigs.k8s.io/kind",
        ")",
        "",
        "require sigs.k8s.io/kind v0.33.0",
        "",
        "replace (",
        "\texample.com/a => example.com/b v1.0.0",
        ")",
        "",
        "exclude (",
        "\texample.com/c v2.0.0",
        ")",
    ]


def test_the_parts_of_kubernetes_are_taken_from_its_own_release() -> None:
    module = {"Replace": [replaced("k8s.io/api", "./staging/src/k8s.io/api")]}
    assert "\tk8s.io/api => k8s.io/api v0.35.2" in list(module_file("kubernetes", "v1.35.2", module))
