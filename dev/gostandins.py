"""Files of ours that stand in for a module's own, so that a program leaves out what a local cluster never uses.

`dev/go/FAMILY/instead/MODULE/PATH` takes the place of PATH in MODULE; a file named `instead.go` takes the place of its
whole package. Go does this by a `replace` to a folder: the module is copied into the cache, with our files in it, and a
go.mod beside the copy says so. Versions stay as pinned.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from dev.hashing import hash_of
from dev.locking import exclusive
from dev.places import CACHE

FOLDER = "instead"
WHOLE_PACKAGE = "instead.go"
COPIES = CACHE / "go-standins"


def files(module_folder: Path) -> list[Path]:
    """Our files for one family, sorted; none for most of them."""
    return sorted(path for path in (module_folder / FOLDER).rglob("*") if path.is_file())


def digest(module_folder: Path) -> str:
    """Changes with our files and with where they lie; empty where there are none."""
    ours = files(module_folder)
    parts = [part for file in ours for part in (str(file.relative_to(module_folder)), file)]
    return hash_of(*parts) if ours else ""


def modules(module_folder: Path, required: str) -> set[str]:
    """The modules that our files belong to, as the go.mod text `required` names them."""
    root = module_folder / FOLDER
    parents = {str(parent) for path in files(module_folder) for parent in path.relative_to(root).parents}
    return {name for name in parents if re.search(rf"^(?:\t|require ){re.escape(name)} v", required, re.MULTILINE)}


def modfile(module_folder: Path, directory_of: Callable[[str], Path]) -> Path | None:
    """A go.mod that builds with our files; None where there are none. `directory_of` gives a module's own folder."""
    if not files(module_folder):
        return None
    made = COPIES / module_folder.name / hash_of(module_folder / "go.mod", digest(module_folder))
    if not made.exists():
        with exclusive(made.parent / ".lock", doing="copy Go modules"):
            if not made.exists():
                _make(module_folder, made, directory_of)
    return made / "go.mod"


def _make(module_folder: Path, made: Path, directory_of: Callable[[str], Path]) -> None:
    fresh, text = made.with_name(f".{made.name}.new"), (module_folder / "go.mod").read_text()
    shutil.rmtree(fresh, ignore_errors=True)
    names = sorted(modules(module_folder, text))
    for name in names:
        _copy(directory_of(name), fresh / name)
        _leave_out_packages(module_folder / FOLDER / name, fresh / name)
        _copy(module_folder / FOLDER / name, fresh / name)
    replaced = "".join(f"replace {name} => {made / name}\n" for name in names)
    (fresh / "go.mod").write_text(f"{text}\n{replaced}")
    shutil.copyfile(module_folder / "go.sum", fresh / "go.sum")
    fresh.rename(made)


def _leave_out_packages(ours: Path, copy: Path) -> None:
    for instead in ours.rglob(WHOLE_PACKAGE):
        for file in (copy / instead.parent.relative_to(ours)).glob("*.go"):
            file.unlink()


def _copy(source: Path, target: Path) -> None:
    """The module cache is read-only, a copy must not be."""
    shutil.copytree(source, target, dirs_exist_ok=True, copy_function=shutil.copyfile)
    for path in (target, *target.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
