"""Protects SeaweedFS's inner servers from other clients, with a certificate and with keys for tokens.

python -m deploy.local.servers.storage_security HOME

By default SeaweedFS's gRPC ports serve every client; with mutual TLS both sides need a certificate. Its volume server
serves every HTTP request; with token keys each request needs a signed token (JWT). Only the server itself needs
certificate and keys, so both are created anew at each start and never expire. The image of Compose contains this file,
private_files.py and `cryptography`, and nothing else of the package.
"""

from __future__ import annotations

import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.local.private_files import make_private_folder, write_private_file

FOLDER = ".seaweedfs"
"""The folder in its home folder where SeaweedFS reads its configuration."""

# A server that is left out serves every client. `client` is the certificate with which they, and `weed shell`, connect.
_PARTS = ("master", "volume", "filer", "s3", "admin", "worker", "client")

# How long a token is valid. SeaweedFS's defaults of 10 and 60 s would fail transfers on a busy machine.
_TOKEN_SECONDS = 3600

# The end of validity that RFC 5280 (4.1.2.5) defines for certificates without one.
_NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def write_security_configuration(home: Path) -> None:
    """Write a new certificate, its key and `security.toml` into SeaweedFS's home folder."""
    folder = make_private_folder(home / FOLDER).resolve()
    certificate, key = _make_certificate()
    write_private_file(folder / "certificate.pem", certificate)
    write_private_file(folder / "key.pem", key)
    write_private_file(folder / "security.toml", _configuration(folder))


def _make_certificate() -> tuple[str, str]:
    """Return a self-signed certificate and its private key, as PEM.

    SeaweedFS does not compare names. It accepts every certificate that this one signed, which is only this one.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stemqueue storage")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # If a clock is set back, the certificate must not lie in the future.
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(_NEVER)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def _configuration(folder: Path) -> str:
    def quoted(path: Path) -> str:
        escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'

    certificate, key = quoted(folder / "certificate.pem"), quoted(folder / "key.pem")
    tokens = [
        f'[{section}]\nkey = "{secrets.token_hex(32)}"\nexpires_after_seconds = {_TOKEN_SECONDS}\n'
        for section in ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
    ]
    parts = [f"[grpc.{part}]\ncert = {certificate}\nkey = {key}\n" for part in _PARTS]
    return "\n".join([*tokens, f"[grpc]\nca = {certificate}\n", *parts])


if __name__ == "__main__":
    write_security_configuration(Path(sys.argv[1]))
