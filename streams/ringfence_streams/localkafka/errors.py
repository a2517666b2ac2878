"""Why a local Kafka cluster cannot be started or stopped.

LocalKafkaError
+-- JarsUnavailable     jars_unavailable    the jars of Kafka cannot be downloaded
+-- ChecksumWrong       checksum_wrong      a downloaded jar is not the pinned one
+-- PortTaken           port_taken          something else listens on a port of the cluster
+-- ClusterDiffers      cluster_differs     the folder holds a cluster of another shape
+-- ClusterMissing      cluster_missing     the folder holds no cluster
+-- NodeFailed          node_failed         a node did not come up
"""

from __future__ import annotations

from typing import ClassVar


class LocalKafkaError(Exception):
    """The cluster is not in the state that was asked for.  `code` never changes; `remedy` says what to do."""

    code: ClassVar[str]
    remedy: ClassVar[str]

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}. {self.remedy}"


class JarsUnavailable(LocalKafkaError):
    """The jars of Kafka are not in the cache and cannot be downloaded."""

    code = "jars_unavailable"
    remedy = (
        "Check the network, HTTPS_PROXY and REQUESTS_CA_BUNDLE, or name a Maven repository that can be reached: "
        "RINGFENCE_MAVEN_REPOSITORY=https://..."
    )


class ChecksumWrong(LocalKafkaError):
    """A downloaded jar does not have the pinned checksum; it was thrown away."""

    code = "checksum_wrong"
    remedy = "Nothing of it was run. Try again; if it stays, find out who changes what the Maven repository sends"


class PortTaken(LocalKafkaError):
    """Something else listens on a port of the cluster."""

    code = "port_taken"
    remedy = "Stop what listens there, or choose other ports: --port P, and --dir D for a cluster of its own"


class ClusterDiffers(LocalKafkaError):
    """The folder holds a cluster of another shape, and its data cannot be poured into a new one."""

    code = "cluster_differs"
    remedy = "Start it as it is, keep both with another --dir, or remove it: ringfence kafka down --delete"


class ClusterMissing(LocalKafkaError):
    """The folder holds no cluster."""

    code = "cluster_missing"
    remedy = "Start one: ringfence kafka up"


class NodeFailed(LocalKafkaError):
    """A node ended, or did not answer in time."""

    code = "node_failed"
    remedy = "Read its log, named above; if its data is not needed, remove the cluster: ringfence kafka down --delete"
