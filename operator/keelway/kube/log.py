"""Logs: one JSON object a line on standard error."""

from __future__ import annotations

import logging
import sys

from pythonjsonlogger.json import JsonFormatter

FIELDS = {"levelname": "level", "name": "logger"}
QUIET = ("kopf", "aiohttp", "asyncio", "urllib3")
"""Loggers of libraries that speak of their own affairs below WARNING."""


def set_up(level: str) -> None:
    """Send everything from `level` on to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "%(levelname)s %(name)s %(message)s", rename_fields=FIELDS, timestamp="time", json_ensure_ascii=False
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
