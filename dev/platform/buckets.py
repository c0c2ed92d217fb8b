"""Buckets of the local S3 server, for tests and the demo."""

import urllib.error
import urllib.request
from datetime import timedelta

import obstore
from obstore.store import S3Store

from dev.platform.endpoints import S3_ACCESS_KEY, S3_REGION, S3_SECRET_KEY, Endpoints

ALREADY_THERE = 409


def bucket(endpoints: Endpoints, name: str) -> S3Store:
    """The bucket as a store of `obstore`; made if it is not there. Raises urllib.error.HTTPError when S3 refuses."""
    store = S3Store(
        name,
        endpoint=endpoints.s3,
        region=S3_REGION,
        access_key_id=S3_ACCESS_KEY,
        secret_access_key=S3_SECRET_KEY,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    # obstore has no call that makes a bucket, but signs any request: a PUT of the empty key is CreateBucket.
    creation = obstore.sign(store, "PUT", "", timedelta(minutes=1))
    try:
        urllib.request.urlopen(urllib.request.Request(creation, method="PUT"), timeout=10).close()
    except urllib.error.HTTPError as refusal:
        if refusal.code != ALREADY_THERE:
            raise
    return store
