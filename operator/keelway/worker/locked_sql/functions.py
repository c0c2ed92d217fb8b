"""Which functions other people's SQL may call: those whose result hangs on nothing but their arguments, and the clock.

The list is taken from DuckDB's own catalogue by kind (scalar, aggregate, window) and stability, so that a function of
a newer DuckDB is let in or kept out by what it is.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from keelway.worker.tables import Database, query

CLOCK = frozenset(
    {"now", "today", "current_date", "get_current_timestamp", "get_current_time", "transaction_timestamp", "ago"}
)
INTERNAL = frozenset(
    {
        "alias",
        "combine",
        "finalize",
        "index_key",
        "json_deserialize_sql",
        "json_serialize_plan",
        "json_serialize_sql",
        "parse_duckdb_log_message",
        "version",
    }
)
"""Scalar functions that DuckDB calls consistent but that tell of it, or of its SQL, rather than of the data."""
TOLD_MACROS = frozenset({"user", "session_user", "current_user", "current_role", "current_catalog", "get_block_size"})
"""Macros that tell who and where we are."""
TABLE_MAKERS = frozenset({"unnest", "range", "generate_series"})
"""Table functions that make rows of their arguments alone."""


@dataclass(frozen=True)
class Functions:
    """Names in lower case. `scalar` may be called in a condition; a query may call all three."""

    scalar: frozenset[str]
    aggregate: frozenset[str]
    window: frozenset[str]
    every: frozenset[str]
    """All that exist, whether they may be called or not."""

    def like(self, name: str) -> Sequence[str]:
        """Up to three functions whose names look like this one."""
        return difflib.get_close_matches(name, sorted(self.scalar | self.aggregate | self.window))


def list_functions(database: Database) -> Functions:
    """What this DuckDB has, sorted by what may be called."""
    found = query(
        database, "SELECT lower(function_name), function_type, stability, schema_name FROM duckdb_functions()"
    )
    volatile = {name for name, _, stability, _ in found if stability == "VOLATILE"}
    steady = {name for name, kind, stability, _ in found if kind == "scalar" and stability == "CONSISTENT"}
    macros = {name for name, kind, _, schema in found if kind == "macro" and schema == "main"}
    internal = {name for name in steady if name.startswith("__internal")} | INTERNAL | TOLD_MACROS | volatile
    return Functions(
        scalar=frozenset((steady | macros | CLOCK) - internal),
        aggregate=frozenset(name for name, kind, *_ in found if kind == "aggregate"),
        window=frozenset(name for name, kind, *_ in found if kind == "window"),
        every=frozenset(name for name, *_ in found),
    )
