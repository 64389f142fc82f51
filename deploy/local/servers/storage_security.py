"""What keeps everybody else out of SeaweedFS's inner servers: a certificate, and keys for tokens.

python -m deploy.local.servers.storage_security HOME

SeaweedFS's gRPC ports serve whoever connects, unless both sides must show a certificate (mutual TLS). Its volume server
sends and takes blocks over plain HTTP, unless each request must carry a signed token (JWT). Only the server itself
needs either, and makes them anew at each start, so that none expires and none is worth keeping. Compose's image has
this file, private_files.py and `cryptography`, and nothing else of the package.
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
"""Where below its home folder SeaweedFS looks for its configuration."""

# A part that is left out serves everybody. `client` is what the parts of the process, and `weed shell`, show.
_PARTS = ("master", "volume", "filer", "s3", "admin", "worker", "client")

# Seconds that a token holds. SeaweedFS's own 10 and 60 would fail transfers on a machine that is short of processors.
_TOKEN_SECONDS = 3600

# What RFC 5280 (4.1.2.5) has for certificates without a well-defined end.
_NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def write_security(home: Path) -> None:
    """Write a new certificate, its key and `security.toml` to where SeaweedFS looks for them in its home folder."""
    folder = make_private_folder(home / FOLDER).resolve()
    certificate, key = _make_certificate()
    write_private_file(folder / "certificate.pem", certificate)
    write_private_file(folder / "key.pem", key)
    write_private_file(folder / "security.toml", _configuration(folder))


def _make_certificate() -> tuple[str, str]:
    """Return a certificate that signs itself, and its private key, as PEM.

    SeaweedFS compares no names: it lets in whoever shows a certificate signed by this one, which is this one alone.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stemqueue storage")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A container's clock may be set back, and it would refuse a certificate of the future.
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
    write_security(Path(sys.argv[1]))
