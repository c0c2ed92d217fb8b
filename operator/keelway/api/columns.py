"""Which names of columns are the same one."""

from __future__ import annotations


def folded(name: str) -> str:
    """DuckDB tells names apart as ASCII does without case."""
    return name.encode(errors="surrogatepass").lower().decode(errors="surrogatepass")
