"""Compiles Python sources to bytecode inside an image; runs with the image's own interpreter while the image is built.

The bytecode names no time of its source (PEP 552, unchecked hash): layers may change modification times, and nobody
edits an image's sources.
"""

import argparse
import compileall
import re
import sys
import sysconfig
from pathlib import Path
from py_compile import PycInvalidationMode

SELDOM_IMPORTED = re.compile(
    r"/kubernetes/(client|aio/client/models)/"  # a thousand classes, loaded one by one when asked for
    r"|/(test|tests|idlelib|lib2to3|turtledemo|tkinter|ensurepip|site-packages)/"
)


def compile_below(folder: str) -> bool:
    """Whether every file below `folder`, or `folder` itself if it is a file, compiled."""
    compiled = compileall.compile_dir(
        folder,
        quiet=1,
        workers=1 if not Path("/dev/shm").is_dir() else 0,
        rx=SELDOM_IMPORTED,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    return bool(compiled)


def main() -> None:
    """Exits with 1 when a file does not compile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*")
    parser.add_argument("--standard-library", action="store_true")
    arguments = parser.parse_args()
    library = [sysconfig.get_path("stdlib")] if arguments.standard_library else []
    failed = [folder for folder in (*library, *arguments.folders) if not compile_below(folder)]
    sys.exit(f"cannot compile {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
