"""`python limited.py USAGE MEMORY SECONDS COMMAND...`: runs a program within limits and writes down what it used.

A process of its own, because the kernel counts into a child's peak what its parent held when it forked: a test session
holds hundreds of MiB, this holds ten.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path


def main(usage: str, memory: str, seconds: str, *command: str) -> None:
    """MEMORY is in bytes, SECONDS of CPU; a program that waits for what never comes is killed after five times that."""
    resource.setrlimit(resource.RLIMIT_DATA, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    subprocess.run(command, check=False, timeout=5 * int(seconds))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    Path(usage).write_text(json.dumps({"seconds": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss * 1024}))


if __name__ == "__main__":
    main(*sys.argv[1:])
