"""Which images there are and what goes into each. The steps are in the Dockerfile, a stage for each target."""

from dataclasses import dataclass, field
from pathlib import Path

from dev.places import ROOT

KEELWAY = ROOT / "operator" / "keelway"
REQUIREMENTS = ROOT / "requirements"
OUTSIDE_THE_OPERATOR = ("worker", "cli", "crdgen")
OUTSIDE_THE_WORKER = ("cli", "crdgen", "kube", "engine", "lifecycle", "manifests", "search", "main.py", "settings.py")


@dataclass(frozen=True, kw_only=True)
class Code:
    """A file or folder of this repository that is copied into an image, without the named entries of the folder."""

    source: Path
    without: tuple[str, ...] = ()

    def files(self) -> dict[str, Path]:
        """Path below `/app` in the image -> file, sorted."""
        if self.source.is_file():
            return {self.source.name: self.source}
        return {
            str(Path(self.source.name) / inside): self.source / inside
            for inside in sorted(path.relative_to(self.source) for path in self.source.rglob("*") if path.is_file())
            if inside.parts[0] not in self.without and "__pycache__" not in inside.parts
        }


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image: a target of the Dockerfile and the parts that its stages copy."""

    name: str
    target: str
    sites: tuple[str, ...] = ()
    """Names of the locks in `requirements/` whose packages go in."""
    code: tuple[Code, ...] = ()
    program: str = ""
    """A static program of `dev.gobuild`; the image holds it at `command`."""
    command: str = field(default="")

    @property
    def repository(self) -> str:
        """The image's name without its tag. Kubernetes tools take `dev.local/` for images that no registry has."""
        return f"dev.local/keelway-{self.name}"


def _of_python(name: str, *code: Code, sites: tuple[str, ...] = ()) -> Image:
    return Image(name=name, target=name, sites=sites or (name,), code=code)


def _of_program(name: str, program: str, command: str) -> Image:
    return Image(name=name, target="program", program=program, command=command)


IMAGES: dict[str, Image] = {
    image.name: image
    for image in (
        _of_python("operator", Code(source=KEELWAY, without=OUTSIDE_THE_OPERATOR)),
        _of_python("worker", Code(source=KEELWAY, without=OUTSIDE_THE_WORKER)),
        _of_python("server", Code(source=ROOT / "examples" / "server" / "server.py")),
        _of_python(
            "trainer",
            Code(source=ROOT / "examples" / "trainer" / "train.py"),
            Code(source=ROOT / "examples" / "trainer" / "evaluate.py"),
            sites=("server", "trainer"),
        ),
        _of_python("storage-initializer", Code(source=ROOT / "dev" / "images" / "storage_initializer.py")),
        _of_program("kserve-controller", "kserve-manager", "/manager"),
        _of_program("traefik", "traefik", "/traefik"),
        _of_program("versitygw", "versitygw", "/versitygw"),
        _of_program("prometheus", "prometheus", "/prometheus"),
    )
}
