"""Records: whether a DatasetVersion is still whole and wanted, and in which state a ModelVersion is."""
