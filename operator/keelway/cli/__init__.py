"""`keelway`, also as `kubectl keelway`: questions about the chain from data to production, asked of the cluster."""

from keelway.cli.commands import main

__all__ = ["main"]
