"""Fetches models before their server starts: the init container that KServe puts into a predictor's pod.

KServe passes pairs of arguments, a model's URI and the directory to fill. KServe's own library does the work.
"""

import sys

from kserve_storage import Storage


def main(arguments: list[str]) -> None:
    """Download each URI into the directory that follows it; a failure ends the container with its traceback."""
    if not arguments or len(arguments) % 2:
        sys.exit("usage: storage_initializer.py URI DIRECTORY [URI DIRECTORY]...")
    for uri, directory in zip(arguments[::2], arguments[1::2], strict=True):
        Storage.download(uri, directory)


if __name__ == "__main__":
    main(sys.argv[1:])
