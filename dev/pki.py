"""A certificate authority for development clusters, with elliptic keys: quick to make."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = timedelta(days=365)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A certificate and its private key, both PEM."""

    certificate: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Authority:
    """Signs certificates; `certificate` is what others have to trust."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    certificate: str

    @classmethod
    def new(cls, common_name: str) -> "Authority":
        """An authority that signed itself."""
        key, name = ec.generate_private_key(ec.SECP256R1()), _name(common_name, ())
        builder = _builder(name, name, key.public_key()).add_extension(x509.BasicConstraints(True, None), critical=True)
        signed = builder.sign(key, hashes.SHA256())
        return cls(name=name, key=key, certificate=_pem(signed))

    def client(self, user: str, *, groups: Sequence[str] = ()) -> Credentials:
        """Credentials that the API server takes for `user` in `groups`."""
        return self._issue(_name(user, groups), ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def server(self, *hosts: str) -> Credentials:
        """Credentials of a TLS server that is reached under each of `hosts` (names and IP addresses)."""
        return self._issue(_name(hosts[0], ()), ExtendedKeyUsageOID.SERVER_AUTH, hosts)

    def _issue(self, subject: x509.Name, usage: x509.ObjectIdentifier, hosts: Sequence[str]) -> Credentials:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(subject, self.name, key.public_key())
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if hosts:
            names = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return Credentials(certificate=_pem(builder.sign(self.key, hashes.SHA256())), key=private_pem(key))


def signing_pair() -> tuple[str, str]:
    """A private and a public key (PEM) for signing service account tokens."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private_pem(key), public.decode()


def private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """A private key as unencrypted PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def _name(common_name: str, organizations: Sequence[str]) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in organizations]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    serial = x509.random_serial_number()
    return builder.serial_number(serial).not_valid_before(now - timedelta(hours=1)).not_valid_after(now + VALID)


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
