"""A version as Croissant 1.1 (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html): JSON-LD that loaders,
catalogues and search engines read.

It says what the record says and nothing more: no values of the data, no people. Saved as `croissant.json` beside the
staged files of the version, `mlcroissant.Dataset("croissant.json").records("rows")` reads its rows.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from urllib.parse import quote, urljoin, urlsplit

from pydantic import ValidationError

from keelway.api.base import Manifest
from keelway.api.dataset_version import DatasetVersion
from keelway.api.digests import canonical_json
from keelway.api.jobs import File, SplitRule
from keelway.api.quantities import binary_quantity
from keelway.manifests.croissant_terms import CONTEXT, DATA_TYPES, GLOBS, MEDIA_TYPES, SUFFIXES

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
MOST_FILES = 100
"""More files than this are described by globs."""
FILES_BYTES = 100_000
FIELDS_BYTES = 180_000
"""Together with the rest below 300 kB: a ConfigMap holds 1 MiB, and a profile takes up to 700 kB of it."""
LINE_BYTES = 16_384
"""Of one file of a list; a path has at most 1 KiB."""

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=-]*(/[A-Za-z0-9_][A-Za-z0-9_.=-]*)*")
_PARAMETERS = re.compile(r"\([^()]*\)$")


def first_files(parts: Sequence[bytes], most: int) -> list[File]:
    """The first files of a list, gzip of JSON Lines cut into parts; reads no more of it than that takes.

    Raises ValueError when it is not such a list.
    """
    lines: list[bytes] = []
    try:
        for line in _lines(parts, most * LINE_BYTES):
            if len(lines) == most:
                break
            lines.append(line)
        return [File.model_validate_json(line) for line in lines]
    except (zlib.error, ValidationError) as error:
        raise ValueError("this is not a list of files: gzip of JSON Lines") from error


def _lines(parts: Sequence[bytes], limit: int) -> Iterator[bytes]:
    """Lines as they are decompressed, of at most `limit` bytes together and a little more."""
    stream, rest, seen = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16), b"", 0
    for part in parts:
        packed = part
        while packed and seen <= limit:
            chunk = stream.decompress(packed, LINE_BYTES)
            packed, seen = stream.unconsumed_tail, seen + len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
    if rest:
        yield rest


def croissant(version: DatasetVersion, name: str, files: Sequence[File]) -> Manifest:
    """The JSON-LD of a version of the data set called `name`; `files` are its files, the first ones at least."""
    spec = version.spec
    objects = _file_objects(version, files)
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": name,
        "description": _description(version, name),
        "version": f"{spec.version}.0.0",
        "identifier": spec.digest,
        "url": spec.source.uri,
        **_published(version),
        **_origins(version),
        # Without its sha256 nothing in here holds a file to what it was: then it can only be said that it may change.
        "isLiveDataset": not objects or not all(file.sha256 for file in files),
        "distribution": [*objects, _file_set(version, files if objects else ())],
        "recordSet": [*_records(version), *_splits(version)],
    }


def _description(version: DatasetVersion, name: str) -> str:
    spec = version.spec
    size = binary_quantity(spec.manifest.bytes)
    return f"Version {spec.version} of {name}: {spec.rows} rows in {spec.manifest.files} files of {size} bytes."


def _published(version: DatasetVersion) -> Manifest:
    created = version.metadata.creation_timestamp
    return {"datePublished": created} if created else {}


def _origins(version: DatasetVersion) -> Manifest:
    origins = [f"{origin.dataset}: {origin.dataset_version}, {origin.digest}" for origin in version.spec.derived_from]
    return {"isBasedOn": origins} if origins else {}


def _file_objects(version: DatasetVersion, files: Sequence[File]) -> list[Manifest]:
    """Every file, or none where they are too many for this document."""
    if version.spec.manifest.files > MOST_FILES or len(files) < version.spec.manifest.files:
        return []
    objects = [_file_object(version, file, number) for number, file in enumerate(files)]
    return objects if len(canonical_json(objects)) <= FILES_BYTES else []


def _file_object(version: DatasetVersion, file: File, number: int) -> Manifest:
    checksum = {"sha256": file.sha256} if file.sha256 else {}
    return {
        "@type": "cr:FileObject",
        "@id": _identifier("file", file.path, number),
        "name": file.path,
        "contentUrl": _url(version, file.path),
        "contentSize": f"{file.size} B",
        "encodingFormat": _media_type(version, file.path),
        **checksum,
    }


def _file_set(version: DatasetVersion, files: Sequence[File]) -> Manifest:
    """All files together, from which the records are read; relative to where the files were put."""
    source, chosen = version.spec.source, [_literal(file.path) for file in files]
    excluded = {"excludes": list(source.exclude)} if source.exclude and not chosen else {}
    return {
        "@type": "cr:FileSet",
        "@id": "files",
        "name": "files",
        "description": f"Files below {source.uri}",
        "encodingFormat": list(MEDIA_TYPES[source.format]),
        "includes": chosen or list(source.include) or list(GLOBS[source.format]),
        **excluded,
    }


def _literal(path: str) -> str:
    """A glob that matches one path."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def _url(version: DatasetVersion, path: str) -> str:
    """Where a file lies, with the revision in the way of fsspec where there is one."""
    uri, revision = version.spec.source.uri, version.spec.source.revision
    if uri.startswith(("http://", "https://")):
        # A list of files names them relative to itself; anything else is the file.
        return urljoin(uri, f"./{quote(path)}") if urlsplit(uri).path.endswith("/manifest.json") else uri
    if uri.startswith("hf://datasets/") and revision:
        owner, repository, *below = uri.removeprefix("hf://datasets/").rstrip("/").split("/")
        return "/".join((f"hf://datasets/{owner}/{repository}@{revision}", *below, path))
    return f"{uri.rstrip('/')}/{path}"


def _media_type(version: DatasetVersion, path: str) -> str:
    suffix = path.rpartition(".")[2].lower()
    return SUFFIXES.get(suffix) or MEDIA_TYPES[version.spec.source.format][0]


def _records(version: DatasetVersion) -> list[Manifest]:
    if version.spec.source.format == "Images":
        return [_images()]
    if version.spec.source.format == "Files" or not version.spec.schema_.columns:
        return []
    return [_rows(version)]


def _rows(version: DatasetVersion) -> Manifest:
    schema, fields, size = version.spec.schema_, [], 0
    # Croissant knows columns by name alone, so one without a name cannot be described.
    named = [(number, column) for number, column in enumerate(schema.columns) if column.name]
    for number, column in named:
        field = _field(column.name, column.type, number)
        size += len(canonical_json(field)) + 1
        if size > FIELDS_BYTES:
            break
        fields.append(field)
    total = max(schema.total, len(schema.columns))
    some = f", of which {len(fields)} are described here" if len(fields) < total else ""
    return _record_set("rows", f"{version.spec.rows} rows of {total} columns{some}", fields)


def _field(name: str, type_: str, number: int) -> Manifest:
    data_type = DATA_TYPES.get(_PARAMETERS.sub("", type_))
    note = {} if data_type else {"description": f"As text; in DuckDB {type_[:200]}"}
    source = {"fileSet": {"@id": "files"}, "extract": {"column": name}}
    return _typed(_identifier("rows", name, number), name, data_type or "sc:Text", source=source, **note)


def _images() -> Manifest:
    files = {"fileSet": {"@id": "files"}}
    content = {**files, "extract": {"fileProperty": "content"}}
    # The directory just above the file.
    label = {**files, "extract": {"fileProperty": "fullpath"}, "transform": {"regex": "(?:.*/)?([^/]+)/[^/]+$"}}
    path = {**files, "extract": {"fileProperty": "fullpath"}}
    fields = [
        _typed("images/image", "image", "sc:ImageObject", source=content),
        _typed("images/label", "label", "sc:Text", source=label),
        _typed("images/path", "path", "sc:Text", source=path),
    ]
    return _record_set("images", "One image a record; its directory is its label", fields)


def _splits(version: DatasetVersion) -> list[Manifest]:
    spec = version.spec
    if not spec.splits:
        return []
    shares = {rule.name: rule for rule in spec.split_rule.rules}
    key = f"the hash of column {spec.split_rule.key!r}" if spec.split_rule.key else "a hash of the whole row"
    data = [_split(split.name, split.rows, shares.get(split.name)) for split in spec.splits]
    fields = [
        _typed("splits/name", "name", "sc:Text"),
        _typed("splits/rows", "rows", "sc:Integer"),
        _typed("splits/percent", "percent", "sc:Float"),
    ]
    described = _record_set("splits", f"Splits of the rows, chosen by {key}", fields)
    return [{**described, "dataType": "cr:Split", "key": {"@id": "splits/name"}, "data": data}]


def _split(name: str, rows: int, rule: SplitRule | None) -> Manifest:
    return {"splits/name": name, "splits/rows": rows, "splits/percent": rule.percent if rule else None}


def _record_set(name: str, description: str, fields: list[Manifest]) -> Manifest:
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "description": description, "field": fields}


def _typed(identifier: str, name: str, data_type: str, **more: object) -> Manifest:
    return {"@type": "cr:Field", "@id": identifier, "name": name, "dataType": data_type, **more}


def _identifier(scope: str, name: str, number: int) -> str:
    """`rows/age`; an IRI holds no blanks or quotes, so other names are told apart by their number: `rows/~3`."""
    plain = len(name) <= 128 and _PLAIN.fullmatch(name)
    return f"{scope}/{name}" if plain else f"{scope}/~{number}"
