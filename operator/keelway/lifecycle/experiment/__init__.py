"""Experiment: resolve the data, search by trial Jobs, keep the best model as a ModelVersion."""

from keelway.lifecycle.experiment.reconcile import reconcile

__all__ = ["reconcile"]
