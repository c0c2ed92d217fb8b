"""Search: which parameters to try next, as one pure function over the space and what was tried.

To add an algorithm: write a module with a function of `suggest.Algorithm`'s shape and name it in `suggest.ALGORITHMS`.
"""

from keelway.search.space import Point, Space, Tried
from keelway.search.suggest import suggest, trial_total

__all__ = ["Point", "Space", "Tried", "suggest", "trial_total"]
