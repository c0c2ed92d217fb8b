"""Tools for people who try or develop Keelway: Go programs, control plane, local cluster. Not part of the product."""
