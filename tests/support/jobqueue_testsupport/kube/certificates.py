"""A certificate authority for one run, and what it signs."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

_VALID = timedelta(days=2)
# Clocks of a machine and its containers differ by a little.
_SKEW = timedelta(minutes=5)
_RSA_BITS = 2048


class Pair(NamedTuple):
    """Files of a certificate and its private key, PEM."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates that are valid for two days, and keeps everything in one folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("jobqueue-test-ca")
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = _builder(self._name, self._name, self._key).add_extension(constraints, critical=True)
        self.certificate = folder / "ca.crt"
        self.certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def server(self, name: str, addresses: tuple[str, ...]) -> Pair:
        """Return the files of a server's certificate for these IP addresses and `localhost`."""
        names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        alternatives = x509.SubjectAlternativeName([x509.DNSName("localhost"), *names])
        return self._sign(name, _name(name), ExtendedKeyUsageOID.SERVER_AUTH, alternatives)

    def client(self, name: str, group: str) -> Pair:
        """Return the files of a certificate that Kubernetes takes as a user of that name and group."""
        return self._sign(name, _name(name, group), ExtendedKeyUsageOID.CLIENT_AUTH)

    def service_account_key(self) -> Pair:
        """Return the files of a public and a private key that sign tokens."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
        public = self.folder / "sa.pub"
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return Pair(public, self._keep("sa", key))

    def _sign(
        self, file: str, name: x509.Name, usage: x509.ObjectIdentifier, *extensions: x509.ExtensionType
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, self._name, key)
        for extension in (x509.ExtendedKeyUsage([usage]), *extensions):
            builder = builder.add_extension(extension, critical=False)
        certificate = self.folder / f"{file}.crt"
        certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return Pair(certificate, self._keep(file, key))

    def _keep(self, file: str, key: PrivateKeyTypes) -> Path:
        path = self.folder / f"{file}.key"
        path.touch(mode=0o600)
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return path


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _VALID)
    )


def _name(common: str, organization: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organization is not None:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)
