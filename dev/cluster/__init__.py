"""The local cluster for trying and developing Keelway: real kind, with or without a Docker engine.

`Cluster` is the Python side, `python -m dev.cluster VERB` the command line.
"""

from dev.cluster.cluster import Cluster

__all__ = ["Cluster"]
