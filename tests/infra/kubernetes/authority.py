"""Keys and certificates of a cluster: who is who, to the API server, is what its certificate says."""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAYS = 30
AUTHORITY = "authority.crt"


@dataclass(frozen=True)
class Pair:
    """A private key and its certificate, as files in PEM."""

    key: Path
    certificate: Path


class Authority:
    """A certificate authority whose files lie in one folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._key = generate_private_key(SECP256R1())
        self._name = _name("comity-infra", [])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        certificate = self._builder(self._name, self._key).add_extension(constraints, critical=True)
        self.certificate = self._write(AUTHORITY, _pem(certificate.sign(self._key, SHA256())))

    def issue(self, name: str, common_name: str, groups: Sequence[str] = (), hosts: Sequence[str] = ()) -> Pair:
        """Files of that name: for the user and groups that Kubernetes reads there, for a server at those hosts."""
        key = generate_private_key(SECP256R1())
        builder = self._builder(_name(common_name, groups), key)
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False
            )
        certificate = builder.sign(self._key, SHA256())
        return Pair(self._write(f"{name}.key", _private(key)), self._write(f"{name}.crt", _pem(certificate)))

    def key(self, name: str) -> Path:
        """A private key alone."""
        return self._write(f"{name}.key", _private(generate_private_key(SECP256R1())))

    def config(self, name: str, server: str, pair: Pair) -> Path:
        """A kubeconfig of that name, for whom the certificate names."""
        user = {"client-certificate-data": _data(pair.certificate), "client-key-data": _data(pair.key)}
        return write_config(self._folder / f"{name}.config", server, self.certificate, user)

    def _builder(self, subject: x509.Name, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        public = key.public_key()
        return (
            x509.CertificateBuilder(self._name, subject, public, x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=DAYS))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )

    def _write(self, name: str, data: bytes) -> Path:
        return _write_private(self._folder / name, data)


def write_config(path: Path, server: str, authority: Path, user: dict[str, str], namespace: str = "default") -> Path:
    """A kubeconfig for a user, as it names one, in JSON, which is YAML too."""
    cluster = {"server": server, "certificate-authority-data": _data(authority)}
    context = {"cluster": "comity", "user": "comity", "namespace": namespace}
    value = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "comity", "cluster": cluster}],
        "users": [{"name": "comity", "user": user}],
        "contexts": [{"name": "comity", "context": context}],
        "current-context": "comity",
    }
    return _write_private(path, json.dumps(value).encode())


def _write_private(path: Path, data: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(data)
    return path


def _name(common_name: str, groups: Sequence[str]) -> x509.Name:
    organisations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organisations, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _private(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
