"""How types are called in records."""

from __future__ import annotations

import re

TOKEN = re.compile(r"""\s+|"(?:[^"]|"")*"|'(?:[^']|'')*'|[^\s"'(),]+|[(),]""")
WITH_FIELDS = {"struct", "union"}
LONGEST = 256
"""A type whose name is longer is recorded, and read, as JSON: nobody would read it, and records have to stay small."""


def type_name(described: str) -> str:
    """The recorded name of a type that DESCRIBE gave: in lower case, except the names of a struct's fields.

    A value of which nothing is known is JSON.
    """
    name = "".join(_lowered(TOKEN.findall(described)))
    return name if len(name) <= LONGEST else "json"


def _lowered(tokens: list[str]) -> list[str]:
    """Each token as it is recorded. A field's name is the first word behind the bracket, or the comma, of a struct."""
    around: list[str] = []
    before, previous = "", ""
    found = []
    for token in tokens:
        is_field = previous in {"(", ","} and around[-1:] != [] and around[-1] in WITH_FIELDS
        word = token if is_field or token[0] == "'" else _word(token)
        found.append(word)
        if token == "(":
            around.append(before)
        elif token == ")":
            around.pop()
        if not token.isspace():
            before, previous = word, token
    return found


def _word(token: str) -> str:
    return "json" if token == '"NULL"' else token.lower()
