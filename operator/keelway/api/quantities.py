"""Sizes as Kubernetes writes them."""

from __future__ import annotations

import re
from decimal import Decimal

_UNITS = ("", "Ki", "Mi", "Gi", "Ti", "Pi")


def binary_quantity(size: int) -> str:
    """A number of bytes as a quantity for people: three digits and a binary unit, such as `31.2Mi`."""
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    # From 999.5 on, three digits would be written with an exponent, which is no quantity.
    return f"{value:.3g}{_UNITS[unit]}" if value < 999.5 else f"{value:.0f}{_UNITS[unit]}"


def bytes_of(quantity: str | float) -> int:
    """The number of bytes in a quantity such as `1Gi`, `500M`, `1e9` or 1048576; ValueError for anything else."""
    match = re.fullmatch(r"([0-9.]+(?:[eE][+-]?[0-9]+)?)(m|k|[MGTPE]|[KMGTPE]i)?", str(quantity).strip())
    if not match:
        raise ValueError(f"{quantity!r} is not a quantity such as 512Mi")
    number, unit = match.groups()
    return int(Decimal(number) * _scale(unit or ""))


def _scale(unit: str) -> Decimal:
    if unit == "m":
        return Decimal("0.001")
    power = " KMGTPE".index(unit[:1].upper() or " ")
    return Decimal(1024 if unit.endswith("i") else 1000) ** power
