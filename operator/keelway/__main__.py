"""`python -m keelway` runs the operator."""

import sys

from keelway.main import main

if __name__ == "__main__":
    sys.exit(main())
