"""ModelDeployment: start the wanted version beside the live one, prove it ready, move the traffic."""

from keelway.lifecycle.model_deployment.reconcile import reconcile

__all__ = ["reconcile"]
