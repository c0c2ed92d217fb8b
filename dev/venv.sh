#!/bin/sh
# Makes the virtual environment DIR from the locked versions: `sh dev/venv.sh DIR`.
# Needs Python 3.11 or newer; as root on Debian it installs what is missing.
set -eu
venv=$1

# The first Python that is new enough and can make virtual environments.
usable_python() {
    for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

if ! python=$(usable_python); then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "Keelway needs Python 3.11 or newer with its venv module: install it, or name one with PYTHON=/path/to/python3" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -qq --no-install-recommends python3 python3-venv >/dev/null
    python=$(usable_python)
fi

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
