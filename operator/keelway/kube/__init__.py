"""The only I/O of the operator: one API client, watches, the writer, the Lease, health endpoints, logs."""
