"""The words of Croissant: its JSON-LD context, its data types, and media types by format."""

from __future__ import annotations

from collections.abc import Mapping

from keelway.api.base import Manifest
from keelway.api.jobs import FileFormat

_OWN_TERMS = (
    "arrayShape",
    "citeAs",
    "column",
    "containedIn",
    "equivalentProperty",
    "excludes",
    "extract",
    "field",
    "fileObject",
    "fileProperty",
    "fileSet",
    "format",
    "includes",
    "isArray",
    "isLiveDataset",
    "jsonPath",
    "key",
    "md5",
    "parentField",
    "path",
    "recordSet",
    "references",
    "regex",
    "repeated",
    "replace",
    "samplingRate",
    "separator",
    "source",
    "subField",
    "transform",
)

CONTEXT: Manifest = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in _OWN_TERMS},
}
"""What the terms of a document mean; the specification recommends it."""

DATA_TYPES: Mapping[str, str] = {
    "tinyint": "cr:Int8",
    "smallint": "cr:Int16",
    "integer": "cr:Int32",
    "bigint": "cr:Int64",
    "hugeint": "sc:Integer",
    "utinyint": "cr:UInt8",
    "usmallint": "cr:UInt16",
    "uinteger": "cr:UInt32",
    "ubigint": "cr:UInt64",
    "uhugeint": "sc:Integer",
    "float": "cr:Float32",
    "double": "cr:Float64",
    "decimal": "sc:Float",
    "boolean": "sc:Boolean",
    "varchar": "sc:Text",
    "date": "sc:Date",
    "time": "sc:Time",
    "timestamp": "sc:DateTime",
    "timestamp_s": "sc:DateTime",
    "timestamp_ms": "sc:DateTime",
    "timestamp_ns": "sc:DateTime",
    "timestamp with time zone": "sc:DateTime",
}
"""By DuckDB's name of a type without its parameters. What is not here (structs, lists, maps, enums, uuids) is text."""

MEDIA_TYPES: Mapping[FileFormat, tuple[str, ...]] = {
    "CSV": ("text/csv",),
    "Parquet": ("application/x-parquet",),
    "JSONLines": ("application/jsonlines",),
    "Images": ("image/png", "image/jpeg", "image/gif", "image/bmp", "image/tiff", "image/webp"),
    "Files": ("application/octet-stream",),
}
SUFFIXES: Mapping[str, str] = {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "parquet": "application/x-parquet",
    "pq": "application/x-parquet",
    "jsonl": "application/jsonlines",
    "ndjson": "application/jsonlines",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "webp": "image/webp",
    "zip": "application/zip",
    "tar": "application/x-tar",
    "gz": "application/gzip",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "json": "application/json",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "mp4": "video/mp4",
}


def _both_depths(*suffixes: str) -> tuple[str, ...]:
    return tuple(glob for suffix in suffixes for glob in (f"*{suffix}", f"**/*{suffix}"))


GLOBS: Mapping[FileFormat, tuple[str, ...]] = {
    "CSV": _both_depths(".csv", ".csv.gz", ".tsv", ".tsv.gz"),
    "Parquet": _both_depths(".parquet", ".pq"),
    "JSONLines": _both_depths(".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"),
    "Images": _both_depths(".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"),
    "Files": ("*", "**/*"),
}
"""Which files a version without `include` takes, where they are too many to be named."""
