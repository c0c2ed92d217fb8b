"""Writes the CRDs, or with `--check` says how a folder differs from the models and ends with 1 when it does."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from keelway.crdgen.files import differences, render, write


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: the folder equals the models, or was made so."""
    parser = argparse.ArgumentParser(prog="python -m keelway.crdgen", description="Write the CRDs of Keelway.")
    parser.add_argument("--check", action="store_true", help="change nothing; show what differs and end with 1")
    parser.add_argument("outdir", type=Path, help="folder of the CRD files")
    options = parser.parse_args(arguments)
    if not options.check:
        write(options.outdir, render())
        return 0
    drift = list(differences(options.outdir, render()))
    sys.stdout.writelines(drift)
    return 1 if drift else 0


if __name__ == "__main__":
    sys.exit(main())
