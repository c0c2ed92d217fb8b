"""The image of kind's nodes, made from Debian packages and Go programs, for machines that can pull none.

It is what kind expects of a node image: systemd, containerd, the kubelet and kubeadm, `/kind/version`, manifests of a
pod network and a StorageClass, and every image that kubeadm will ask for, already unpacked. Its tag is a digest of its
inputs; the engine keeps it.
"""

import shutil
import tempfile
from pathlib import Path

from dev import debian, gobuild
from dev.cluster import oci, packages, rootfs
from dev.hashing import hash_of
from dev.places import CACHE
from dev.processes import Child, pipe, run, succeeds, wait_until
from dev.progress import step

REPOSITORY = "keelway.local/node"
FOLDER = CACHE / "node-image"
NODE_FILES = Path(__file__).parent / "node"
ON_THE_NODE = ("kubelet", "kubeadm", "kubectl")
IN_IMAGES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "etcd", "coredns")
PROGRAMS = (*ON_THE_NODE, *IN_IMAGES)
SHELL_TOOLS = ("sh", "ip", "sed", "sleep", "cat", "mv", "head")
CHANGES = (
    'ENTRYPOINT ["/usr/local/bin/node-entry"]',
    # systemd takes this for a word that it is in a container.
    "ENV container=docker",
)


def name() -> str:
    """The image's name; another one whenever something that goes into it has changed."""
    sources = [Path(module.__file__) for module in (oci, rootfs) if module.__file__]
    files = sorted(path for path in NODE_FILES.rglob("*") if path.is_file())
    programs = [gobuild.stamp_of(gobuild.PROGRAMS[program]) for program in PROGRAMS]
    return f"{REPOSITORY}:{hash_of(Path(__file__), *sources, *files, *programs)}"


def ensure(engine: dict[str, str]) -> str:
    """Make sure that the engine (its environment) has the image, and no older one; gives its name."""
    image = name()
    if not succeeds(["docker", "image", "inspect", image], env=engine):
        _make(image, engine)
        listed = run(["docker", "image", "ls", "--format={{.Repository}}:{{.Tag}}", REPOSITORY], env=engine).split()
        if old := [tag for tag in listed if tag != image]:
            # One that a running node was made from stays until the next time.
            run(["docker", "image", "rm", *old], env=engine, check=False)
    return image


def _make(image: str, engine: dict[str, str]) -> None:
    programs = gobuild.build(PROGRAMS)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
        root, images = Path(scratch) / "root", Path(scratch) / "images"
        with step("node image: Debian packages"):
            root.mkdir()
            rootfs.make(root)
        with step("node image: files and images"):
            _add_programs(root, programs)
            _add_node_files(root, programs)
            _write_images(root, images, programs)
        with step("node image: unpack images"):
            _unpack_images(images, root / "var/lib/containerd")
        with step("node image: import"):
            changes = [word for change in CHANGES for word in ("--change", change)]
            packing: list[str | Path] = ["tar", "--create", "--directory", root, "."]
            pipe(packing, ["docker", "import", *changes, "-", image], env=engine)


def _add_programs(root: Path, programs: dict[str, Path]) -> None:
    for program in ON_THE_NODE:
        shutil.copy(programs[program], root / "usr/bin" / program)
    (root / "kind/version").write_text(f"{_kubernetes()}\n")


def _add_node_files(root: Path, programs: dict[str, Path]) -> None:
    """Copy our own files and tell them how kubeadm names the images that they use."""
    shutil.copytree(NODE_FILES, root, dirs_exist_ok=True)
    wanted = _wanted_images(programs)
    for file in ("etc/containerd/config.toml", "kind/manifests/default-cni.yaml"):
        text = (root / file).read_text()
        text = text.replace("@PAUSE_IMAGE@", wanted["pause"]).replace("@PROXY_IMAGE@", wanted["kube-proxy"])
        (root / file).write_text(text)


def _wanted_images(programs: dict[str, Path]) -> dict[str, str]:
    """What kubeadm will ask for: short name -> full name with tag."""
    listing = run([programs["kubeadm"], "config", "images", "list", "--kubernetes-version", _kubernetes()])
    return {name.rpartition("/")[2].partition(":")[0]: name for name in listing.split()}


def _write_images(root: Path, folder: Path, programs: dict[str, Path]) -> None:
    folder.mkdir()
    for short, full in _wanted_images(programs).items():
        oci.write(_image(short, full, root, programs), folder / f"{short}.tar")


def _image(short: str, full: str, root: Path, programs: dict[str, Path]) -> oci.Image:
    """An empty root with one static program, but for kube-proxy, which calls others."""
    architecture = packages.architecture()
    if short == "kube-proxy":
        return _proxy_image(full, root, programs["kube-proxy"], architecture)
    if short == "pause":
        files = {"busybox": root / "usr/bin/busybox"}
        entrypoint: tuple[str, ...] = ("/busybox", "sleep", "infinity")
        return oci.Image(name=full, architecture=architecture, files=files, entrypoint=entrypoint)
    place, entrypoint = (short, (f"/{short}",)) if short == "coredns" else (f"usr/local/bin/{short}", ())
    return oci.Image(name=full, architecture=architecture, files={place: programs[short]}, entrypoint=entrypoint)


def _proxy_image(full: str, root: Path, program: Path, architecture: str) -> oci.Image:
    """kube-proxy with iptables and nft, and what the pod network's script calls."""
    # A module of xtables is loaded at run time and brings libraries of its own. One needs libm, and without that no
    # Service with two endpoints works.
    modules = [f"/{path.relative_to(root)}" for path in root.glob("usr/lib/*/xtables/*.so")]
    called = ["/usr/sbin/xtables-nft-multi", "/usr/sbin/nft", "/usr/bin/busybox", *modules]
    frontends = [path for pattern in ("iptables*", "ip6tables*") for path in (root / "usr/sbin").glob(pattern)]
    files = {
        **{_in_usr(place): root / file.lstrip("/") for place, file in rootfs.with_libraries(root, called).items()},
        **{f"usr/sbin/{path.name}": path for path in frontends},
        "usr/local/bin/kube-proxy": program,
        "usr/local/bin/pod-network": root / "usr/local/bin/pod-network",
    }
    in_usr = {name: f"usr/{name}" for name in debian.LINKED_INTO_USR}
    links = {**in_usr, "var/run": "/run", **{f"usr/bin/{tool}": "busybox" for tool in SHELL_TOOLS}}
    folders = ("tmp", "run", "var", "usr", *in_usr.values())
    return oci.Image(name=full, architecture=architecture, files=files, links=links, folders=folders)


def _in_usr(path: str) -> str:
    """`/lib64/x` and `/usr/lib64/x` are one file; name it by the latter, without the leading slash."""
    relative = path.lstrip("/")
    return relative if relative.startswith("usr/") else f"usr/{relative}"


def _unpack_images(archives: Path, store: Path) -> None:
    """Import archives into a containerd store, so that a node starts with its images ready."""
    # In the system's own folder for such things: the path of a Unix socket has to be short.
    with tempfile.TemporaryDirectory(prefix="keelway-unpack-") as state:
        configuration, socket = Path(state) / "containerd.toml", Path(state) / "containerd.sock"
        configuration.write_text(_store_configuration(store, Path(state)))
        alone = ["unshare", "--mount", "--propagation", "private"]
        log = CACHE / "log" / "unpack.log"
        containerd = Child.start("containerd", [*alone, "containerd", "--config", configuration], log=log)
        try:
            wait_until(socket.exists, seconds=30, what="containerd", log=log)
            importing = ["--namespace", "k8s.io", "images", "import", "--snapshotter", "overlayfs"]
            for archive in sorted(archives.glob("*.tar")):
                run(["ctr", "--address", socket, *importing, archive])
        finally:
            containerd.stop()


def _store_configuration(store: Path, state: Path) -> str:
    return f"""version = 2
root = "{store}"
state = "{state}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{state}/containerd.sock"
[ttrpc]
  address = "{state}/containerd.ttrpc"
"""


def _kubernetes() -> str:
    """The version of Kubernetes, as in `v1.34.4`."""
    return gobuild.version("k8s.io/kubernetes", family="kubernetes")
