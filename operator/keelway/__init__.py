"""Keelway: a Kubernetes operator for the life of a machine-learning model."""
