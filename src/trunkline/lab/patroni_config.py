"""The configuration of one Patroni member of the lab. Pure: values in, a mapping for YAML out.

What differs from a production file, and why: the times are short, so that a fail-over can be watched (ttl 20,
loop_wait 2); fsync is off, since the lab survives kill -9 without it but not a slow CI disk with it; there is no unix
socket, so that nothing is reachable without a password and no path is too long; shared memory is files in the data
directory, so that a killed server leaves nothing in /dev/shm. failsafe_mode is on, as Patroni advises: without it
Patroni itself demotes a healthy primary when the store has been silent for retry_timeout, and no balancer helps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trunkline.lab.layout import SCOPE, Layout, MemberPlace

TTL_S = 20
LOOP_WAIT_S = 2
# Patroni asks for ttl >= loop_wait + 2 * retry_timeout.
RETRY_TIMEOUT_S = 5
MAX_CONNECTIONS = 100
SUPERUSER = "postgres"
REPLICATION_USER = "replicator"
REST_USER = "patroni"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passwords:
    """The lab's secrets: of the superuser, of the replication user, and of Patroni's unsafe endpoints."""

    superuser: str
    replication: str
    rest_api: str


def dynamic_config() -> dict[str, object]:
    """What the first member writes into the DCS, for all of them."""
    return {
        "ttl": TTL_S,
        "loop_wait": LOOP_WAIT_S,
        "retry_timeout": RETRY_TIMEOUT_S,
        "failsafe_mode": True,
        "postgresql": {"use_pg_rewind": True, "parameters": {"max_connections": MAX_CONNECTIONS}},
    }


def member_config(
    layout: Layout,
    place: MemberPlace,
    passwords: Passwords,
    bin_dir: Path,
    extra_tags: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Patroni's local configuration for one member (Patroni manual, "YAML Configuration Settings")."""
    api = f"{place.host}:{place.api_port}"
    return {
        "scope": SCOPE,
        "name": place.name,
        "restapi": {
            "listen": api,
            "connect_address": api,
            "authentication": {"username": REST_USER, "password": passwords.rest_api},
        },
        "etcd3": {"host": f"{layout.etcd_host}:{layout.etcd_port}"},
        "bootstrap": {
            "dcs": dynamic_config(),
            "initdb": [
                {"encoding": "UTF8"},
                {"locale": "C"},
                {"auth": "scram-sha-256"},
                "data-checksums",
                "no-sync",
            ],
        },
        "postgresql": _postgresql(place, passwords, bin_dir),
        "tags": dict(extra_tags or {}),
    }


def patronictl_config(layout: Layout, passwords: Passwords) -> dict[str, object]:
    """What patronictl needs to act on the lab."""
    return {
        "scope": SCOPE,
        "etcd3": {"host": f"{layout.etcd_host}:{layout.etcd_port}"},
        "ctl": {"authentication": {"username": REST_USER, "password": passwords.rest_api}},
    }


def _postgresql(place: MemberPlace, passwords: Passwords, bin_dir: Path) -> dict[str, object]:
    address = f"{place.host}:{place.port}"
    return {
        "listen": address,
        "connect_address": address,
        "data_dir": str(place.data_dir),
        "bin_dir": str(bin_dir),
        "pgpass": str(place.directory / "pgpass"),
        "authentication": {
            "superuser": {"username": SUPERUSER, "password": passwords.superuser},
            "replication": {"username": REPLICATION_USER, "password": passwords.replication},
        },
        "basebackup": [{"checkpoint": "fast"}, "no-sync"],
        "pg_hba": [
            "host all all 127.0.0.0/8 scram-sha-256",
            f"host replication {REPLICATION_USER} 127.0.0.0/8 scram-sha-256",
        ],
        "parameters": {
            "unix_socket_directories": "",
            "dynamic_shared_memory_type": "mmap",
            "shared_buffers": "16MB",
            "fsync": "off",
            "min_wal_size": "32MB",
            "max_wal_size": "256MB",
            "logging_collector": "on",
            "log_directory": str(place.directory),
            "log_filename": "postgresql.log",
            "log_rotation_age": 0,
            "log_rotation_size": 0,
            "log_line_prefix": "%m [%p] %q%u@%d %h ",
            "log_timezone": "UTC",
        },
    }
