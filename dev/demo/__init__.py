"""The demo: the whole path on the local cluster, from a bucket to a prediction, driven by the files in `examples/`."""
