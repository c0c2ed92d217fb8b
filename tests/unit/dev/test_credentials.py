"""Certificates and kubeconfigs of development clusters."""

import base64
import ssl
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dev.controlplane import free_ports, kubeconfig
from dev.pki import Authority, signing_pair


def certificate(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def usages(of: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(of.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_a_client_is_known_by_name_and_groups() -> None:
    subject = certificate(Authority.new("ca").client("operator", groups=("a", "b")).certificate).subject
    assert [each.value for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["operator"]
    assert [each.value for each in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["a", "b"]


def test_what_an_authority_signs_can_be_told_from_what_another_signs() -> None:
    ours, theirs = Authority.new("ca"), Authority.new("ca")
    signed = certificate(ours.client("u").certificate)
    signed.verify_directly_issued_by(certificate(ours.certificate))
    with pytest.raises(InvalidSignature):
        signed.verify_directly_issued_by(certificate(theirs.certificate))


def test_a_server_is_valid_for_names_and_addresses_and_no_client() -> None:
    signed = certificate(Authority.new("ca").server("127.0.0.1", "localhost").certificate)
    names = signed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1")]
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert usages(signed) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_tls_libraries_take_the_authority() -> None:
    ssl.create_default_context(cadata=Authority.new("ca").certificate)


def test_tokens_are_checked_with_the_key_that_belongs_to_the_signing_one() -> None:
    private, public = (pem.encode() for pem in signing_pair())
    signing, checking = load_pem_private_key(private, None), load_pem_public_key(public)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    assert isinstance(checking, ec.EllipticCurvePublicKey)
    assert signing.public_key().public_numbers() == checking.public_numbers()


def test_a_kubeconfig_holds_everything_inline() -> None:
    authority = Authority.new("ca")
    credentials = authority.client("u")
    written: dict[str, Any] = kubeconfig("https://127.0.0.1:1", authority.certificate, "u", credentials)
    cluster, user = written["clusters"][0]["cluster"], written["users"][0]["user"]
    assert cluster["server"] == "https://127.0.0.1:1"
    assert base64.b64decode(cluster["certificate-authority-data"]).decode() == authority.certificate
    assert base64.b64decode(user["client-key-data"]).decode() == credentials.key
    assert written["current-context"] == written["contexts"][0]["name"]


def test_ports_that_are_asked_for_together_differ() -> None:
    assert len(set(free_ports(20))) == 20
