"""`gs://BUCKET/PREFIX/`: Google Cloud Storage."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from obstore.store import GCSStore

from keelway.api.jobs import Location
from keelway.worker.errors import WorkerError
from keelway.worker.storage import Purpose
from keelway.worker.storage_errors import STORE_ERRORS
from keelway.worker.stores.objects import ObjectStorage, bucket_and_prefix, client_options, retry_config
from keelway.worker.stores.secrets import Keys, read_secret

if TYPE_CHECKING:
    from obstore.store import GCSConfig

KEY = "GOOGLE_SERVICE_ACCOUNT_KEY"
ENOUGH = (Keys(KEY), Keys("*.json"))
"""The JSON of a service account's key, under this name or as a file."""
AMBIENT = ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", KEY)
NOBODY = '{"disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}'
"""A key that no token is asked for with."""


def open_location(location: Location, purpose: Purpose) -> ObjectStorage:
    """Open a bucket with the key of the Secret, or with the pod's own identity."""
    bucket, prefix = bucket_and_prefix(location.uri, "gs://bucket/prefix/")
    configuration = _configuration(location)
    try:
        store = GCSStore(
            bucket,
            prefix=prefix or None,
            config=configuration,
            client_options=client_options(location),
            retry_config=retry_config(purpose),
        )
    except STORE_ERRORS as error:  # its text may quote the key
        raise _unreadable_key(location) from error
    return ObjectStorage(location, purpose, store)


def _configuration(location: Location) -> GCSConfig:
    secret = read_secret(location, ENOUGH)
    config: GCSConfig = {}
    if location.endpoint:
        config["base_url"] = location.endpoint.rstrip("/")
    if secret:
        config["service_account_key"] = secret.get(KEY) or next(
            secret[name] for name in sorted(secret) if name.endswith(".json")
        )
    elif location.endpoint and not any(os.environ.get(name) for name in AMBIENT):
        # Nobody but Google has a metadata service to ask for credentials; a write would ask it all the same.
        config["skip_signature"], config["service_account_key"] = True, NOBODY
    return config


def _unreadable_key(location: Location) -> WorkerError:
    if not location.secret_dir:
        return WorkerError("AccessDenied", "the pod's own Google credentials cannot be read: name a Secret instead")
    return WorkerError(
        "SecretMissing",
        f"the Secret {location.secret_name!r} holds no key of a service account: put the JSON of one under {KEY}",
    )
