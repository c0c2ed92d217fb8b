"""Stands before runc for our own dockerd: takes out of each container what this machine's root may not grant.

kind's nodes are privileged containers. Where root lacks CAP_SYS_RESOURCE, runc cannot give that capability on, set a
negative OOM score or raise a hard limit, and refuses the whole container. Copied to where dockerd finds it as `runc`,
so it uses the standard library alone.
"""

import json
import os
import resource
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

RUNC = "/usr/sbin/runc"
WITHHELD = "CAP_SYS_RESOURCE"


def specification(arguments: list[str]) -> Path | None:
    """The file that tells runc what to run, when this call starts something."""
    for command, options, name in (
        ("create", ("--bundle", "-b"), "config.json"),
        ("run", ("--bundle", "-b"), "config.json"),
        ("exec", ("--process", "-p"), ""),
    ):
        if command in arguments:
            given = [Path(value) / name for option, value in pairwise(arguments) if option in options]
            return given[0] if given else (Path(name) if name else None)
    return None


def relax(process: dict[str, Any], *, open_files: int) -> None:
    """Bring one process of a specification down to what may be granted; `open_files` is our own hard limit."""
    capabilities = process.get("capabilities") or {}
    process["capabilities"] = {kind: [one for one in names if one != WITHHELD] for kind, names in capabilities.items()}
    process["oomScoreAdj"] = max(process.get("oomScoreAdj") or 0, 0)
    limits = [limit for limit in process.get("rlimits") or [] if limit["type"] == "RLIMIT_NOFILE"]
    for limit in limits if open_files != resource.RLIM_INFINITY else ():
        limit.update({bound: min(limit[bound], open_files) for bound in ("hard", "soft")})
    process["rlimits"] = limits


def main() -> None:
    """Adapt the specification of this call, if it has one, and become runc."""
    arguments = sys.argv[1:]
    path = specification(arguments)
    if path and path.is_file():
        content = json.loads(path.read_text())
        relax(content.get("process") or content, open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        path.write_text(json.dumps(content))
    os.execv(RUNC, [RUNC, *arguments])


if __name__ == "__main__":
    main()
