"""A real broker that lets nobody in without being asked: one listener wants a password, another a certificate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ringfence_streams.localkafka.cluster import LocalCluster
from ringfence_streams.localkafka.temporary import free_ports

HOST = "127.0.0.1"
USER, PASSWORD = "engine", "s3cret"
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


@dataclass(frozen=True)
class SecuredBroker:
    """Addresses, and where the files are that a client needs."""

    folder: Path
    by_password: str
    """HOST:PORT of the listener that wants a user and a password, under TLS."""
    by_certificate: str
    """HOST:PORT of the listener that wants a certificate of our authority."""

    @property
    def authority(self) -> Path:
        """Who signed the broker's certificate."""
        return self.folder / "authority.pem"

    @property
    def stranger(self) -> Path:
        """An authority that did not."""
        return self.folder / "stranger.pem"

    @property
    def client(self) -> Path:
        """A client's certificate, and its key."""
        return self.folder / "client.pem"


@contextmanager
def secured_broker(folder: Path) -> Iterator[SecuredBroker]:
    """Start it; it does not outlive the block."""
    port = free_ports(4)
    password, certificate = port + 2, port + 3
    broker = SecuredBroker(folder, f"{HOST}:{password}", f"{HOST}:{certificate}")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(broker.authority))
    trustme.CA().cert_pem.write_to_path(str(broker.stranger))
    _write(authority.issue_cert(HOST), folder / "broker.pem")
    _write(authority.issue_cert("engine.example"), broker.client)
    listeners = {"PLAINTEXT": port, "PASSWORD": password, "CERTIFICATE": certificate}
    addresses = [f"{name}://{HOST}:{number}" for name, number in listeners.items()]
    cluster = LocalCluster(
        folder / "cluster",
        1,
        port,
        settings={
            "listeners": ",".join([*addresses, f"CONTROLLER://{HOST}:{port + 1}"]),
            "advertised.listeners": ",".join(addresses),
            "listener.security.protocol.map": (
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PASSWORD:SASL_SSL,CERTIFICATE:SSL"
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(folder / "broker.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(broker.authority),
            "listener.name.certificate.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.password.plain.sasl.jaas.config": f'{_PLAIN} required user_{USER}="{PASSWORD}";',
        },
    )
    cluster.start()
    try:
        yield broker
    finally:
        cluster.delete()


def _write(certificate: trustme.LeafCert, path: Path) -> None:
    """Key and chain in one file; Kafka reads keys as PKCS 8 alone."""
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    )
