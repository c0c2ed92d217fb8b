"""SQL that others wrote: what would reach beyond the data is refused, what would eat the machine is stopped."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dev.processes import wait_until
from keelway.api.checks import Expectations, Rule
from keelway.api.findings import Violation
from keelway.api.jobs import Column
from keelway.worker.dataset import Table, open_table
from keelway.worker.expectations.checks import RuleCheck
from keelway.worker.expectations.planning import plan
from keelway.worker.expectations.rules import judge_rules
from keelway.worker.formats import StagedFile
from keelway.worker.locked_sql import LockedError, LockedSession, LockedSessions, Settings
from keelway.worker.tables import open_database
from tests.unit.worker.builders import write_parquet

COLUMNS = tuple(
    Column(name=name, type=kind)
    for name, kind in {"id": "bigint", "s": "varchar", "x": "integer[]", "end": "integer", "user": "varchar"}.items()
)
MEMORY = 96 * 2**20
SECRET = "canary-4711"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The only directory that a session sees: data, and a file that is none of a rule's business."""
    path = tmp_path_factory.mktemp("lake")
    row = 'SELECT i AS id, i::VARCHAR AS s, [1, 2]::INTEGER[] AS x, 1 AS "end", \'u\' AS "user"'
    write_parquet(path / "0.parquet", f"{row} FROM range(20000) t(i)")
    (path / "canary.csv").write_text(f"a\n{SECRET}\n")
    return path


@pytest.fixture(scope="module")
def sessions(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockedSessions]:
    scratch = tmp_path_factory.mktemp("spill")
    with LockedSessions(Settings(memory_bytes=MEMORY, directories=[lake], scratch=scratch)) as opened:
        yield opened
    assert list(scratch.iterdir()) == []


@pytest.fixture(scope="module")
def table(lake: Path) -> Table:
    with open_database(memory_limit="64MiB", scratch=lake, directories=[lake]) as database:
        return open_table(database, [StagedFile("data.parquet", lake / "0.parquet")], "Parquet")


def refusal(sessions: LockedSessions, violation: str) -> LockedError:
    with pytest.raises(LockedError) as caught:
        sessions.current().judge_condition(violation, COLUMNS, seconds=20)
    assert SECRET not in caught.value.message
    return caught.value


def query_refusal(sessions: LockedSessions, sql: str) -> LockedError:
    with pytest.raises(LockedError) as caught:
        sessions.current().judge_query(sql, {"raw": COLUMNS, "other": COLUMNS}, seconds=20)
    return caught.value


def judged(sessions: LockedSessions, table: Table, *violations: str, seconds: float = 10) -> list[Violation]:
    rules = [Rule(name=f"r{number}", violation=text) for number, text in enumerate(violations)]
    checks = [check for check in plan(Expectations(rules=tuple(rules)), table.columns) if isinstance(check, RuleCheck)]
    return judge_rules(checks, sessions=sessions, table=table, seconds=seconds)


@pytest.mark.parametrize(
    ("violation", "named"),
    [
        ("(SELECT max(a) FROM read_csv('{lake}/canary.csv')) = 'x'", "subquery"),
        ("id IN (SELECT 1)", "subquery"),
        ("EXISTS (FROM '/etc/passwd')", "subquery"),
        ("id = ANY([1, 2])", "subquery"),
        ("read_text('/etc/passwd') = 'x'", "read_text()"),
        ("read_csv('/etc/passwd') = 'x'", "read_csv()"),
        ("getenv('HOME') = 'x'", "getenv()"),
        ("current_setting('memory_limit') = 'x'", "current_setting()"),
        ("getvariable('x') IS NULL", "getvariable()"),
        ("nextval('s') > 1", "nextval()"),
        ("random() > 0.5", "random()"),
        ("uuid() = s", "uuid()"),
        ("sleep_ms(1000) IS NULL", "sleep_ms()"),
        ("pg_catalog.pg_sleep(1) IS NULL", "pg_sleep()"),
        ("write_log('x') IS NULL", "write_log()"),
        ("version() = 'x'", "version()"),
        ("current_user = 'x'", "current_user"),
        ("json_serialize_sql('SELECT 1') IS NULL", "json_serialize_sql()"),
        ("query('SELECT 1') IS NULL", "query()"),
        ("sum(id) > 3", "sum()"),
        ("count(*) > 3", "count_star()"),
        ("row_number() OVER () > 3", "window"),
        ("unnest(x) > 1", "unnest()"),
        ("COLUMNS(*) > 1", "star"),
        ("id > $1", "parameter"),
        ("#1 > 1", "by number"),
        ("id > 1 FROM raw", "leave out FROM"),
        ("id > 1 AS wrong", "AS"),
        ("id > 1, id < 5", "commas"),
        ("id > 1 LIMIT 1", "one condition"),
        ("id > 1; ATTACH '{lake}/x.db'", "one condition"),
        ("id > 1; SELECT 2", "semicolons"),
    ],
)
def test_a_rule_that_is_more_than_a_condition_of_one_row_is_refused(
    sessions: LockedSessions, lake: Path, violation: str, named: str
) -> None:
    refused = refusal(sessions, violation.format(lake=lake))
    assert refused.problem == "Refused"
    assert named in refused.message


@pytest.mark.parametrize(
    ("violation", "said"),
    [
        ("ATTACH '{lake}/x.db'", "ATTACH"),
        ("SET memory_limit = '1TB'", "syntax error"),
        ("COPY raw TO '{lake}/x'", "syntax error"),
        ("id > 1) OR (id < 5", "syntax error"),
        ("id > 1) FROM read_csv('{lake}/canary.csv') WHERE (true", "syntax error"),
        ("id > 1 /* ", "comment"),
        ("s = 'x", "string"),
        ("", "without"),
        ("nosuch > 1", '"nosuch" not found'),
        ("s > 1", "explicit cast"),
        ("lenght(s) > 1", "length"),
        ("nosuchatall(s)", "no function nosuchatall()"),
        ("s", "VARCHAR"),
        ("NULL", "condition"),
        ("regexp_matches(s, '(')", "missing )"),
        ("(" * 4096, "nested too deeply"),
        ("NOT " * 1020 + "true", "nested too deeply"),
        ("'" + "'" * 4000, "string"),
    ],
)
def test_a_rule_that_is_no_condition_of_these_columns_is_told_so(
    sessions: LockedSessions, lake: Path, violation: str, said: str
) -> None:
    refused = refusal(sessions, violation.format(lake=lake))
    assert refused.problem == "Invalid"
    assert said in refused.message
    assert len(refused.message) <= 512


@pytest.mark.parametrize(
    "violation",
    [
        "id > 1 -- ) or not",
        "id > 1 /* ; */",
        "(id > 1) OR (id < 0)",
        "now() > TIMESTAMP '2020-01-01'",
        "current_date > DATE '2020-01-01' AND today() > DATE '2020-01-01'",
        '"end" < 1',
        "user = 'x'",
        "list_filter(x, lambda y: y > 1) = [1]",
        "[y + 1 for y in x] = [1]",
        "CASE WHEN id > 1 THEN s SIMILAR TO '[0-9]+' ELSE s ILIKE 'x%' END",
        "TRY_CAST(s AS INTEGER) IS NULL",
        "len(s) BETWEEN 1 AND 3 AND s IN ('a', $$b$$, E'\\n')",
        "s->>'$.a' = 'x'",
        "date_diff('day', current_date, DATE '2020-01-01') > 3",
        "hash(s) % 10 = 3",
        "s.lower() = main.upper(s)",
        "id = 1 OR " * 400 + "false",
        "(" * 400 + "id > 1" + ")" * 400,
    ],
)
def test_what_rules_need_is_let_through(sessions: LockedSessions, violation: str) -> None:
    sessions.current().judge_condition(violation, COLUMNS, seconds=20)


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("SELECT * FROM '/etc/passwd'", "no input"),
        ("SELECT * FROM read_csv('/etc/passwd')", "read_csv()"),
        ("SELECT * FROM raw, read_text('/etc/passwd')", "read_text()"),
        ("SELECT * FROM glob('/*')", "glob()"),
        ("SELECT * FROM query('FROM raw')", "query()"),
        ("SELECT * FROM duckdb_settings()", "duckdb_settings()"),
        ("SELECT * FROM duckdb_settings", "no input"),
        ("SELECT * FROM information_schema.tables", "no input"),
        ("SELECT * FROM main.raw", "no input"),
        ("SELECT * FROM raw WHERE id IN (SELECT id FROM nosuch)", "no input"),
        ("SELECT (WITH hidden AS (SELECT 1) SELECT 1), * FROM hidden", "no input"),
        ("DESCRIBE raw", "DESCRIBE"),
        ("SHOW TABLES", "SHOW"),
        ("SUMMARIZE raw", "SUMMARIZE"),
        ("SELECT random(), * FROM raw", "random()"),
        ("SELECT getenv('HOME') FROM raw", "getenv()"),
        ("SELECT nextval('s') FROM raw", "nextval()"),
        ("SELECT * REPLACE (random() AS id) FROM raw", "random()"),
        ("SELECT * FROM raw ORDER BY random()", "random()"),
        ("SELECT sum(id) FILTER (getenv('HOME') = 'x') FROM raw", "getenv()"),
        ("SELECT sum(id) OVER (ORDER BY uuid()) FROM raw", "uuid()"),
        ("SELECT read_text('/etc/passwd') OVER () FROM raw", "read_text()"),
        ("SELECT * FROM raw LIMIT (SELECT count(*) FROM read_csv('/etc/passwd'))", "read_csv()"),
        ("SELECT * FROM unnest((SELECT list(content) FROM read_text('/etc/passwd')))", "read_text()"),
        ("SELECT * FROM raw, LATERAL (SELECT * FROM read_csv(raw.s))", "read_csv()"),
        ("SELECT * FROM range(current_setting('threads')::INTEGER)", "current_setting()"),
        ("SELECT * FROM raw USING SAMPLE 10", "sample"),
        ("SELECT * FROM raw WHERE id = $1", "parameter"),
        ("WITH gone AS (INSERT INTO raw VALUES (1) RETURNING *) SELECT * FROM gone", "INSERT"),
        ("COPY raw TO '/tmp/x'", "another statement"),
        ("ATTACH '/tmp/x.db'", "another statement"),
        ("INSTALL httpfs", "another statement"),
        ("LOAD httpfs", "another statement"),
        ("SET memory_limit = '1TB'", "another statement"),
        ("PRAGMA database_list", "another statement"),
        ("CALL pragma_version()", "another statement"),
        ("EXPORT DATABASE '/tmp/x'", "another statement"),
        ("CREATE TABLE t AS SELECT 1", "another statement"),
        ("DROP TABLE raw", "another statement"),
        ("SELECT 1; SELECT 2", "2"),
        ("SELECT 1; ATTACH 'x'", "another statement"),
    ],
)
def test_a_query_that_is_more_than_a_select_over_its_inputs_is_refused(
    sessions: LockedSessions, sql: str, named: str
) -> None:
    refused = query_refusal(sessions, sql)
    assert refused.problem == "Refused"
    assert named in refused.message


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT nosuch FROM raw", 'Candidate bindings: "'),
        ("SELECT 1) TO '/tmp/x'; --", "syntax error"),
        ("SELECT 1;", "semicolon"),
        ("SELECT", "without"),
        ("", "empty"),
        ("-- nothing", "empty"),
        ("(" * 16384, "nested too deeply"),
        ("SELECT nosuch(id) FROM raw", "no function nosuch()"),
    ],
)
def test_a_query_that_does_not_fit_its_inputs_is_told_so(sessions: LockedSessions, sql: str, said: str) -> None:
    refused = query_refusal(sessions, sql)
    assert refused.problem == "Invalid"
    assert said in refused.message


@pytest.mark.parametrize(
    "sql",
    [
        "FROM raw",
        "SELECT DISTINCT ON (id) * FROM raw WHERE id BETWEEN 18 AND 120 ORDER BY id, s DESC LIMIT 5 -- done",
        "WITH a AS (SELECT * FROM raw), b AS (SELECT * FROM a) SELECT * FROM b JOIN other USING (id)",
        "WITH raw AS (SELECT id FROM raw) SELECT * FROM raw",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 9) SELECT * FROM r",
        "SELECT *, sum(id) OVER (PARTITION BY s ORDER BY id) FROM raw QUALIFY row_number() OVER (ORDER BY id) = 1",
        "SELECT * FROM raw UNION ALL BY NAME SELECT * FROM other",
        "SELECT unnest(x), * EXCLUDE (s) FROM raw, unnest([1]) u(y), range(3), generate_series(1, 3)",
        "SELECT (SELECT max(id) FROM other WHERE other.s = raw.s) FROM raw",
        "SELECT s, count(*) FILTER (id > 3), list(id ORDER BY id) FROM raw GROUP BY ALL HAVING count(*) > 1",
        "SELECT * FROM raw PIVOT (sum(id) FOR s IN ('a', 'b'))",
        "SELECT COLUMNS('i.*')::DECIMAL(18, 2) FROM RAW",
        "VALUES (1), (2)",
        "SELECT * FROM raw ASOF JOIN other ON raw.s = other.s AND raw.id >= other.id",
    ],
)
def test_what_queries_need_is_let_through(sessions: LockedSessions, sql: str) -> None:
    assert sessions.current().judge_query(sql, {"raw": COLUMNS, "other": COLUMNS}, seconds=20)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('{lake}/../outside.csv')",
        "ATTACH '/etc/x.db' AS x",
        "COPY (SELECT 1) TO '/etc/keelway-was-here'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '1TB'",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA memory_limit = '1TB'",
        "SELECT * FROM read_csv('http://127.0.0.1/x')",
        "SELECT * FROM sessions",
    ],
)
def test_behind_the_grammar_the_database_is_locked_too(sessions: LockedSessions, lake: Path, sql: str) -> None:
    (lake.parent / "outside.csv").write_text(SECRET)
    with pytest.raises(LockedError) as caught:
        sessions.current().query(sql.format(lake=lake), seconds=10)
    assert SECRET not in caught.value.message
    assert not Path("/etc/keelway-was-here").exists()


@pytest.mark.parametrize(
    ("violation", "problems"),
    [
        ("length(repeat('x', 10000000000)) > 1", {"Invalid"}),
        ("length(repeat('x', 1000000000)) > 1", {"OutOfMemory"}),
        ("length(repeat('x', 100000000 + id)) > 1", {"OutOfMemory"}),
        ("length(repeat(repeat(s, 10000), 10000)) > 1", {"OutOfMemory"}),
        ("len(list_transform(range(1000000000000), lambda y: y + 1)) > 1", {"Invalid", "OutOfMemory"}),
        ("len(range(100000000 + id)) > 1", {"OutOfMemory"}),
        ("length(printf('%1000000000d', id)) > 1", {"OutOfMemory"}),
        ("md5(repeat(s, 1000000)) = 'x'", {"OutOfMemory"}),
        ("levenshtein(repeat('a', 20000), repeat('b', 20000 + id)) > 1", {"TimedOut"}),
        (
            "len(list_filter(range(3000), lambda a: len(list_filter(range(3000), lambda b: a * b = id)) > 3)) > 1",
            {"TimedOut"},
        ),
        ("CAST(s || 'x' AS INTEGER) > 1", {"Invalid"}),
        ("factorial(170 + id::INTEGER) > 1", {"Invalid"}),
    ],
)
def test_a_rule_that_eats_time_or_memory_spoils_nothing_but_itself(
    sessions: LockedSessions, table: Table, violation: str, problems: set[str]
) -> None:
    begin = time.monotonic()
    bad, good = judged(sessions, table, violation, "id = 77", seconds=6)
    assert time.monotonic() - begin < 40
    assert bad.problem in problems
    assert (bad.check, bad.violations, bad.example) == ("rules.r0", 0, None)
    assert bad.message
    assert (good.check, good.violations, good.problem) == ("rules.r1", 1, "")
    assert good.example
    assert good.example.row == 78


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*$x", "(a|aa)+$x", "((a+)+)+x"])
def test_there_are_no_catastrophic_patterns(sessions: LockedSessions, table: Table, pattern: str) -> None:
    violation = f"regexp_matches(repeat('a', 2000) || s, '{pattern}')"
    begin = time.monotonic()
    assert judged(sessions, table, violation, seconds=60) == []
    assert time.monotonic() - begin < 30


def test_a_session_that_is_killed_is_out_of_memory_and_another_one_follows(sessions: LockedSessions) -> None:
    session = sessions.current()
    os.kill(session.pid, signal.SIGKILL)
    wait_until(lambda: not session.alive, seconds=10, what="the process has ended")
    with pytest.raises(LockedError) as caught:
        session.query("SELECT 1", seconds=5)
    assert caught.value.problem == "OutOfMemory"
    assert sessions.current().query("SELECT 1", seconds=5) == [[1]]


def test_a_session_has_no_environment_and_ends_with_its_input(
    lake: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with LockedSession(Settings(memory_bytes=MEMORY, directories=[lake], scratch=scratch)) as session:
        environment = Path(f"/proc/{session.pid}/environ").read_bytes()
        assert SECRET.encode() not in environment
        limits = Path(f"/proc/{session.pid}/limits").read_text()
    assert not session.alive
    assert "unlimited" not in next(line for line in limits.splitlines() if line.startswith("Max data size"))[:48]
    assert list(scratch.iterdir()) == []


VOCABULARY = """
    id s x end user ( ) [ ] { } , ; : ' " -- /* */ $$ > = <> + || -> :: . * ? $1 AND OR NOT IN IS NULL SELECT FROM raw
    WITH AS UNION LIMIT read_csv('canary.csv') read_text glob COPY TO ATTACH SET PRAGMA CASE WHEN THEN END lambda CAST
    true false 1 1e9 'x' now() random() getenv('HOME') count(*) OVER unnest(x) range(9) repeat('x',9) len TRY
"""
WORDS = st.sampled_from(VOCABULARY.split())
TEXTS = st.lists(WORDS, min_size=1, max_size=12).map(" ".join) | st.text(min_size=1, max_size=200)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(violation=TEXTS)
def test_any_text_is_answered_and_touches_nothing(
    sessions: LockedSessions, table: Table, lake: Path, violation: str
) -> None:
    before = {path: path.read_bytes() for path in lake.iterdir()}
    begin = time.monotonic()
    answers = judged(sessions, table, violation, "id = 77", seconds=10)
    assert time.monotonic() - begin < 40
    assert answers[-1].violations == 1
    assert SECRET not in str([one.to_json() for one in answers])
    assert {path: path.read_bytes() for path in lake.iterdir()} == before


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sql=st.lists(WORDS, min_size=1, max_size=12).map(lambda words: " ".join(["SELECT", *words])) | TEXTS)
def test_any_query_is_judged(sessions: LockedSessions, sql: str) -> None:
    session = sessions.current()
    with suppress(LockedError):
        assert session.judge_query(sql, {"raw": COLUMNS}, seconds=20)
    assert session.query("SELECT 1", seconds=10) == [[1]]
