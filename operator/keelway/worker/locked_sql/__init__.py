"""Judges and runs SQL that others wrote, in a process of its own that can be lost.

    with LockedSession(Settings.like(database)) as session:
        session.judge_condition("age > 120", columns, seconds=10)
        [[rows]] = session.query("SELECT count(*) FROM …", seconds=60)

Three fences stand around it. The tree that DuckDB's parser makes of the text must consist of nodes that are known to
be harmless (`grammar`, `functions`). The database that runs it reaches the directories it is given and nothing else,
and cannot be set otherwise (`tables.open_database`). The process has bounds of memory, CPU time and wall time that
the kernel keeps, and no environment; what happens to it is a LockedError.
"""

from keelway.worker.locked_sql.grammar import LockedError, Problem
from keelway.worker.locked_sql.session import SPILLING, LockedSession, LockedSessions, Settings

__all__ = ["SPILLING", "LockedError", "LockedSession", "LockedSessions", "Problem", "Settings"]
