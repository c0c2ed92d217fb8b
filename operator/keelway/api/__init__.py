"""The nouns of Keelway: pydantic models of the five kinds and of what operator and workers say to each other.

Everything else is built on this package; it depends on pydantic and the standard library alone.
"""

GROUP = "keelway.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
