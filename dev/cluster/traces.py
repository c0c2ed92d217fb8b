"""What our own engine changes on the machine, noted before and undone after."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from dev.cluster.settings import Settings
from dev.processes import program_of, run, wait_until

CGROUPS = Path("/sys/fs/cgroup")
INOTIFY_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH_INSTANCES = 1024
NAMESPACES = Path("/run/netns")
FOLDERS_THAT_APPEAR = (
    *(Path("/lib/modules"), Path("/run/containerd"), Path("/run/docker"), Path("/etc/docker")),
    NAMESPACES,
)
"""Made by the daemons, by kind's mounts or by `ip netns`."""


def remember(settings: Settings) -> None:
    """Note what is to be put back, and raise the one limit of the machine that a node needs."""
    instances = int(INOTIFY_INSTANCES.read_text())
    absent = [str(folder) for folder in FOLDERS_THAT_APPEAR if not folder.exists()]
    _memory(settings).write_text(json.dumps({"inotify_instances": instances, "absent_folders": absent}))
    INOTIFY_INSTANCES.write_text(str(max(instances, ENOUGH_INSTANCES)))


def restore(settings: Settings) -> None:
    """Put back what `remember` noted; a folder that somebody has filled stays."""
    if not _memory(settings).exists():
        return
    before = json.loads(_memory(settings).read_text())
    INOTIFY_INSTANCES.write_text(str(before["inotify_instances"]))
    if str(NAMESPACES) in before["absent_folders"] and not list(NAMESPACES.glob("*")):
        # `ip netns` mounts the folder onto itself.
        run(["umount", NAMESPACES], check=False)
    for folder in before["absent_folders"]:
        run(["find", folder, "-depth", "-type", "d", "-empty", "-delete"], check=False)


def end_leftovers(settings: Settings) -> None:
    """End what outlived its daemon: processes in our cgroup, and the shims that hold our containerd's socket."""
    left = {pid: program_of(pid) for pid in {*_in_cgroup(settings), *_shims(settings)}}
    for pid, program in left.items():
        if program and program_of(pid) == program:
            os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: not any(program and program_of(pid) == program for pid, program in left.items()),
        seconds=10,
        what="the last processes of the nodes have ended",
    )


def remove_cgroups(settings: Settings) -> None:
    """Remove our containers' cgroups; only empty ones can be removed at all."""
    for root in _cgroup_roots(settings):
        run(["find", root, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"], check=False)


def _in_cgroup(settings: Settings) -> Iterator[int]:
    for root in _cgroup_roots(settings):
        for members in root.rglob("cgroup.procs"):
            yield from map(int, members.read_text().split())


def _shims(settings: Settings) -> Iterator[int]:
    socket = str(settings.state / "containerd.sock").encode()
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"containerd-shim" in words[0] and socket in words:
            yield int(line.parent.name)


def _cgroup_roots(settings: Settings) -> list[Path]:
    """One for each hierarchy of cgroup v1, or the one of v2."""
    return [*CGROUPS.glob(f"*/{settings.cgroup}"), *CGROUPS.glob(settings.cgroup)]


def _memory(settings: Settings) -> Path:
    return settings.state / "before.json"
