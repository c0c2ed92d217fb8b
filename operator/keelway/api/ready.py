"""How a program says that it can no longer lose a signal. Imports nothing: others of its pod wait for that."""

READY_VARIABLE = "KEELWAY_READY_FILE"
"""Names the file that the program then writes."""
