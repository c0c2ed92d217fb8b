"""`s3://BUCKET/PREFIX/`: AWS, and every server that speaks its protocol."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from obstore.store import S3Store

from keelway.api.jobs import Location
from keelway.worker.storage import Purpose
from keelway.worker.stores.objects import ObjectStorage, bucket_and_prefix, client_options, retry_config
from keelway.worker.stores.secrets import Keys, read_secret

if TYPE_CHECKING:
    from obstore.store import S3Config

ENOUGH = (Keys("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),)
AMBIENT = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


def open_location(location: Location, purpose: Purpose) -> ObjectStorage:
    """Open a bucket with the keys of the Secret, or with the pod's own role."""
    bucket, prefix = bucket_and_prefix(location.uri, "s3://bucket/prefix/")
    store = S3Store(
        bucket,
        prefix=prefix or None,
        config=_configuration(location),
        client_options=client_options(location),
        retry_config=retry_config(purpose),
    )
    return ObjectStorage(location, purpose, store)


def _configuration(location: Location) -> S3Config:
    secret = read_secret(location, ENOUGH)
    region = location.region or secret.get("AWS_REGION") or os.environ.get("AWS_REGION", "us-east-1")
    config: S3Config = {"region": region}
    if location.endpoint:
        config["endpoint"] = location.endpoint.rstrip("/")
    if secret:
        config["access_key_id"], config["secret_access_key"] = (secret[key] for key in ENOUGH[0])
    if token := secret.get("AWS_SESSION_TOKEN"):
        config["session_token"] = token
    if location.endpoint and not secret and not any(os.environ.get(key) for key in AMBIENT):
        config["skip_signature"] = True  # nobody but AWS has an instance metadata service to ask for credentials
    return config
