"""`az://CONTAINER/PREFIX/`: Azure Blob Storage. Whose container it is, the Secret or the endpoint says."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.store import AzureStore

from keelway.api.jobs import Location
from keelway.worker.errors import WorkerError
from keelway.worker.storage import Purpose
from keelway.worker.storage_errors import STORE_ERRORS, place
from keelway.worker.stores.objects import ObjectStorage, bucket_and_prefix, client_options, retry_config
from keelway.worker.stores.secrets import Keys, read_secret

if TYPE_CHECKING:
    from obstore.store import AzureConfig

ACCOUNT = "AZURE_STORAGE_ACCOUNT_NAME"
ENOUGH = (
    Keys(ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY"),
    Keys(ACCOUNT, "AZURE_STORAGE_SAS_KEY"),
    Keys(ACCOUNT, "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"),
)
AMBIENT = ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_SECRET", "AZURE_MSI_ENDPOINT", "AZURE_IDENTITY_ENDPOINT")
_OWN_HOST = re.compile(r"([a-z0-9]{3,24})\.(?:blob|dfs)\.")


def open_location(location: Location, purpose: Purpose) -> ObjectStorage:
    """Open a container with the keys of the Secret, or with the pod's own identity."""
    container, prefix = bucket_and_prefix(location.uri, "az://container/prefix/")
    configuration = _configuration(location)
    try:
        store = AzureStore(
            container,
            prefix=prefix or None,
            config=configuration,
            client_options=client_options(location),
            retry_config=retry_config(purpose),
        )
    except STORE_ERRORS as error:  # its text may quote the key
        raise WorkerError(
            "SecretMissing",
            f"the credentials for {place(location)} are not of Azure's form: AZURE_STORAGE_ACCOUNT_KEY is base64, "
            "AZURE_STORAGE_SAS_KEY is `sv=…&sig=…`",
        ) from error
    return ObjectStorage(location, purpose, store)


def _configuration(location: Location) -> AzureConfig:
    secret = read_secret(location, ENOUGH)
    config: AzureConfig = {"account_name": secret.get(ACCOUNT) or _account(location)}
    if location.endpoint:
        config["endpoint"] = location.endpoint.rstrip("/")
    if key := secret.get("AZURE_STORAGE_ACCOUNT_KEY"):
        config["account_key"] = key
    elif token := secret.get("AZURE_STORAGE_SAS_KEY"):
        config["sas_key"] = token
    elif secret:
        config["client_id"] = secret["AZURE_CLIENT_ID"]
        config["client_secret"] = secret["AZURE_CLIENT_SECRET"]
        config["tenant_id"] = secret["AZURE_TENANT_ID"]
    elif location.endpoint and not _host_account(location) and not any(os.environ.get(name) for name in AMBIENT):
        config["skip_signature"] = True  # nobody but Azure has a metadata service to ask for credentials
    return config


def _account(location: Location) -> str:
    """The account, where no Secret names it. Raises WorkerError SourceInvalid."""
    path = urlsplit(location.endpoint).path.strip("/")
    account = _host_account(location) or path or os.environ.get(ACCOUNT)
    if not account:
        raise WorkerError(
            "SourceInvalid",
            f"nothing says which storage account {place(location)} is in: set access.endpoint to "
            f"https://ACCOUNT.blob.core.windows.net, or name a Secret with {ACCOUNT}",
        )
    return account


def _host_account(location: Location) -> str:
    match = _OWN_HOST.match(urlsplit(location.endpoint).hostname or "")
    return match[1] if match else ""
