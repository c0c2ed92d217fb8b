"""Kinds of places where bytes lie; each module has `open_location(location, purpose) -> Storage`."""
