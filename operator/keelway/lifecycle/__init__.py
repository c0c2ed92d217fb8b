"""The verbs of Keelway, pure: what to do next for one resource, given what was seen and what time it is."""
