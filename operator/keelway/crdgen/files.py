"""A folder of CRD files that equals what the models say."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from keelway.api import GROUP
from keelway.crdgen.definition import RESOURCES, custom_resource_definition

HEADER = "# Generated from operator/keelway/api by `make crds`; edit the models, not this file.\n"


class _Dumper(yaml.CSafeDumper):
    """YAML without anchors: the same value twice is written twice."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def render() -> dict[str, str]:
    """File name to text, for every kind."""
    definitions = [custom_resource_definition(resource) for resource in RESOURCES]
    return {
        f"{GROUP}_{definition['spec']['names']['plural']}.yaml": HEADER
        + yaml.dump(definition, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
        for definition in definitions
    }


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Make the folder's CRD files be exactly these; other files stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in _present(folder).keys() - files.keys():
        (folder / stale).unlink()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def differences(folder: Path, files: Mapping[str, str]) -> Iterator[str]:
    """Unified diffs from what the folder has to what the models say; none when they are equal."""
    present = _present(folder)
    for name in sorted({*present, *files}):
        before, after = (text.get(name, "").splitlines(keepends=True) for text in (present, files))
        yield from difflib.unified_diff(before, after, f"{folder / name}", f"{name} as the models say")


def _present(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.glob(f"{GROUP}_*.yaml")}
