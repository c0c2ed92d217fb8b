"""The programs that run inside Jobs: observe, stage, collect. They know orders and verdicts, never Kubernetes."""
