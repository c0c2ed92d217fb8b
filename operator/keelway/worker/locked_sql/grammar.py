"""Which SQL of other people is run: a tree that DuckDB's parser made of it, every node of which is on a list.

What is not known to be harmless is refused, and the refusal says what to write instead.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import duckdb

from keelway.worker.locked_sql.functions import TABLE_MAKERS, Functions
from keelway.worker.tables import Database

Node = dict[str, Any]

ROW_CLASSES = frozenset(
    {
        "BETWEEN",
        "CASE",
        "CAST",
        "COLLATE",
        "COLUMN_REF",
        "COMPARISON",
        "CONJUNCTION",
        "CONSTANT",
        "FUNCTION",
        "LAMBDA",
        "OPERATOR",
        "TYPE",
    }
)
"""Expressions over one row."""
QUERY_CLASSES = ROW_CLASSES | {"POSITIONAL_REFERENCE", "STAR", "SUBQUERY", "WINDOW"}
TABLES = frozenset({"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "PIVOT"})
MODIFIERS = frozenset({"DISTINCT_MODIFIER", "ORDER_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER"})
ORDERS = frozenset({"ORDER_DEFAULT", "ASCENDING", "DESCENDING"})
SELECTS = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
QUERY_NODES = SELECTS | TABLES | MODIFIERS | ORDERS
"""Parts of a query that are no expressions."""
INSTEAD = {
    "SUBQUERY": "a subquery: a rule sees one row; write IN ('a', 'b') for a list, and use a derived Dataset to join",
    "WINDOW": "a window function: a rule sees one row; compute it in a derived Dataset",
    "STAR": "a star or COLUMNS(): name the columns",
    "PARAMETER": "a parameter ($1 or ?): write the value",
    "POSITIONAL_REFERENCE": "a column by number (#1): name the column",
    "DEFAULT": "DEFAULT: write the value",
    "SHOW_REF": "DESCRIBE, SHOW or SUMMARIZE: the profile of a version has these figures",
    "INSERT_QUERY_NODE": "INSERT: the rows of the SELECT are what is written",
    "UPDATE_QUERY_NODE": "UPDATE: compute the column in the SELECT",
    "DELETE_QUERY_NODE": "DELETE: leave the rows out with WHERE",
}
TOO_DEEP = "it is nested too deeply: close its brackets, and split it in two"
ENDED_OF_MEMORY = 71
"""Exit status of a process that ended itself because it was too large."""
PLACE = frozenset({"query_location", "query_location_length"})


class LockedError(Exception):
    """Other people's SQL is not run, or ended badly. The message holds no value of the data."""

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.problem = problem
        self.message = message


Problem = Literal["Refused", "Invalid", "TimedOut", "OutOfMemory", "OutOfSpace"]


def judge_condition(database: Database, text: str, columns: Collection[str], functions: Functions) -> None:
    """The text is one expression over these columns. Raises LockedError Refused or Invalid."""
    bare = _select_node(database, f"SELECT {text}", "a rule is one condition")
    _judge_frame(bare)
    if bare != _select_node(database, f"SELECT (\n{text}\n)", "a rule is one condition"):
        raise LockedError("Refused", "a rule is one condition: close every bracket that it opens")
    names = {name.lower() for name in columns}
    for node in _nodes(bare["select_list"]):
        kind = _kind(node)
        if kind not in ROW_CLASSES and kind != "ORDER_MODIFIER":  # every function has one, empty but for aggregates
            raise _refused(kind)
        if kind == "FUNCTION":
            _judge_function(node, functions, in_query=False)
        if kind == "COLUMN_REF" and len(node["column_names"]) == 1:
            _judge_name(node["column_names"][0], names)


def judge_query(database: Database, text: str, tables: Collection[str], functions: Functions) -> None:
    """The text is one SELECT over these tables. Raises LockedError Refused or Invalid."""
    root = _select_node(database, text, "derive.sql is one SELECT")
    wrapped = _select_node(database, f"FROM (\n{text}\n)", "derive.sql is one SELECT, without a semicolon")
    if wrapped["from_table"].get("subquery", {}).get("node") != root:
        raise LockedError("Refused", "derive.sql is one SELECT: close every bracket that it opens")
    _QueryJudge(functions).visit(root, frozenset(name.lower() for name in tables))


def first_words(error: duckdb.Error) -> str:
    """What DuckDB says is wrong, without its copy of the SQL and its long lists. Only for SQL that saw no data."""
    words = str(error).split("\n\n")[0].split("\tCandidate functions")[0].split("\nLINE ")[0]
    words = " ".join(words.split())
    return words if len(words) <= 300 else words[:299] + "…"


def _select_node(database: Database, text: str, rule: str) -> Node:
    """The tree of the only statement. Raises LockedError."""
    try:
        parsed = json.loads(database.execute("SELECT json_serialize_sql(?)", [text]).fetchall()[0][0])
    except RecursionError:
        raise LockedError("Invalid", f"{rule}: {TOO_DEEP}") from None
    if parsed["error"]:
        raise _not_parsed(str(parsed["error_message"]), rule)
    if not parsed["statements"]:
        raise LockedError("Invalid", f"{rule}, this is empty")
    if len(parsed["statements"]) != 1:
        raise LockedError("Refused", f"{rule}, this is {len(parsed['statements'])}: leave out the semicolons")
    return _without_places(parsed["statements"][0]["node"])  # type: ignore[no-any-return]


def _not_parsed(message: str, rule: str) -> LockedError:
    if "expression depth" in message or "llocat" in message:
        return LockedError("Invalid", f"{rule}: {TOO_DEEP}")
    if message.startswith("Only SELECT statements"):
        return LockedError("Refused", f"{rule}, this is another statement: write it as SELECT … FROM an input")
    return LockedError("Invalid", f"{rule} in DuckDB's SQL: {first_words(duckdb.Error(message))}")


def _without_places(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_places(value) for key, value in node.items() if key not in PLACE}
    return [_without_places(one) for one in node] if isinstance(node, list) else node


def _judge_frame(node: Node) -> None:
    """A `SELECT` that is nothing but one expression."""
    only = node["type"] == "SELECT_NODE" and len(node["select_list"]) == 1 and not node["select_list"][0]["alias"]
    empty = ("modifiers", "where_clause", "group_expressions", "group_sets", "having", "sample", "qualify")
    if not only or any(node[part] for part in empty) or node["cte_map"]["map"] or node["from_table"]["type"] != "EMPTY":
        raise LockedError(
            "Refused",
            "a rule is one condition over the columns, such as age > 120: leave out FROM, WHERE, AS and commas",
        )


def _nodes(tree: Any) -> Iterator[Node]:
    """Every expression and every part of a query in a tree; a type's parameters are none."""
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, dict):
            if isinstance(one.get("type"), str) and not one["type"].endswith("_TYPE_INFO"):
                yield one
            waiting.extend(one.values())


def _kind(node: Node) -> str:
    """What an expression, or else a part of a query, is."""
    return str(node["class"] if "class" in node else node["type"])


def _refused(kind: str) -> LockedError:
    return LockedError("Refused", f"not allowed: {INSTEAD.get(kind, f'what the parser calls {kind}')}")


def _judge_function(node: Mapping[str, Any], functions: Functions, *, in_query: bool) -> None:
    name = str(node["qualified_name"]["path"][-1]).lower()
    allowed = functions.scalar
    if in_query:
        allowed = functions.scalar | functions.aggregate | functions.window | {"unnest"}
    if name in allowed:
        return
    if name in functions.aggregate:
        raise LockedError(
            "Refused", f"{name}() looks at many rows, a rule sees one: compute it in a derived Dataset, or expect rows"
        )
    if name in functions.every or name == "getenv":
        raise LockedError(
            "Refused",
            f"{name}() is not allowed, since it may reach files or settings or answer otherwise each time: "
            "use functions of the columns alone, hash(column) where you want chance",
        )
    like = " or ".join(functions.like(name))
    raise LockedError("Invalid", f"there is no function {name}()" + (f": did you mean {like}?" if like else ""))


def _judge_name(name: str, columns: Collection[str]) -> None:
    told = {"user", "current_user", "session_user", "current_role", "current_catalog", "current_schema"}
    if name.lower() in told and name.lower() not in columns:
        raise LockedError("Refused", f"{name} is not of the data: name a column, or write the value")


@dataclass(frozen=True)
class _QueryJudge:
    """Walks a query with the names that each part of it can see."""

    functions: Functions

    def visit(self, node: Any, seen: frozenset[str]) -> None:
        if isinstance(node, list):
            for one in node:
                self.visit(one, seen)
        elif isinstance(node, dict):
            self._visit_node(node, seen)

    def _visit_node(self, node: Node, seen: frozenset[str]) -> None:
        if isinstance(node.get("type"), str) and not node["type"].endswith("_TYPE_INFO"):
            self._judge(node, seen)
        if node.get("sample"):
            raise LockedError(
                "Refused", "a sample has other rows each time: write WHERE hash(key) % 100 < 10 for ten percent"
            )
        if node.get("type") == "RECURSIVE_CTE_NODE":
            seen |= {node["cte_name"].lower()}
        for common in node.get("cte_map", {}).get("map", ()):
            self.visit(common["value"], seen)
            seen |= {common["key"].lower()}
        self.visit([value for key, value in node.items() if key != "cte_map"], seen)

    def _judge(self, node: Node, seen: frozenset[str]) -> None:
        kind = _kind(node)
        if kind not in (QUERY_CLASSES if "class" in node else QUERY_NODES):
            raise _refused(kind)
        if kind in ("FUNCTION", "WINDOW"):
            _judge_function(node, self.functions, in_query=True)
        if kind == "BASE_TABLE":
            _judge_table(node, seen)
        if kind == "TABLE_FUNCTION":
            _judge_table_function(node["function"])


def _judge_table(node: Node, seen: frozenset[str]) -> None:
    path = [part.lower() for part in node["qualified_name"]["path"]]
    if path[:1] == ["recurring"]:
        path = path[1:]
    if len(path) != 1 or path[0] not in seen or node["at_clause"]:
        name, known = ".".join(node["qualified_name"]["path"]), ", ".join(sorted(seen)) or "none"
        raise LockedError(
            "Refused", f"{name!r} is no input of this Dataset: read from {known}, or add it to derive.inputs"
        )


def _judge_table_function(function: Node) -> None:
    name = str(function.get("function_name", function["class"])).lower()
    if name not in TABLE_MAKERS:
        raise LockedError(
            "Refused",
            f"FROM {name}() is not allowed: read from the inputs by their names; unnest, range and generate_series may "
            "be called",
        )
