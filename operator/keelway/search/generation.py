"""What CMA-ES is told."""

from __future__ import annotations

from typing import TypeAlias

Place: TypeAlias = tuple[float, ...]
"""In the unit cube."""
Generation: TypeAlias = tuple[tuple[Place, float], ...]
"""The places of its trials and their losses; infinite ones of those that failed."""
