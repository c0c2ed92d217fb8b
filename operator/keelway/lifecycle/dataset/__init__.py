"""Dataset: look at the source when it is due, record what was seen, tell consumers which version is good."""

from keelway.lifecycle.dataset.reconcile import reconcile

__all__ = ["reconcile"]
