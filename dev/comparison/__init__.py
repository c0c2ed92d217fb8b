"""A model changed in place and a model changed by Keelway, side by side, under the same load and the same troubles."""
