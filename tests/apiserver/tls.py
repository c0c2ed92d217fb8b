"""TLS contexts from credentials that are held in memory."""

import ssl
import tempfile
from pathlib import Path

from dev.pki import Credentials


def server_context(credentials: Credentials) -> ssl.SSLContext:
    """For a server with these credentials."""
    return _with(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), credentials)


def client_context(credentials: Credentials, *, authority: Path) -> ssl.SSLContext:
    """For a client with these credentials, of servers that `authority` vouches for."""
    return _with(ssl.create_default_context(cafile=str(authority)), credentials)


def _with(context: ssl.SSLContext, credentials: Credentials) -> ssl.SSLContext:
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
        certificate.write_text(credentials.certificate)
        key.write_text(credentials.key)
        context.load_cert_chain(certificate, key)
    return context
