"""`python -m keelway.worker PROGRAM`: run one program of a Job.

SIGTERM is blocked before anything else is imported: it stays pending in the kernel until the program asks for it, so
one that arrives while the rest is still loading is not lost. Process 1 of a container loses it before that moment: who
must be sure waits for the file that KEELWAY_READY_FILE names.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the program named by the first argument; the exit status is 0 when it did what its order says, else 1."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    from keelway.api.ready import READY_VARIABLE

    if ready := os.environ.get(READY_VARIABLE):
        open(ready, "w").close()
    from keelway.worker import programs

    status = programs.run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # obstore's threads may still hold a finished request's callback, and the interpreter's teardown under them aborts
    # the process (PyO3/pyo3-async-runtimes#40); everything is written by now.
    os._exit(status)


if __name__ == "__main__":
    main()
