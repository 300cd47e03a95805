"""Certificates for tests of TLS, made by openssl, as an operator would make them."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest


class Authority:
    """A certificate authority in a directory, by openssl."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.ca = directory / "ca.pem"
        self._openssl("req", "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority")

    def issue(self, name: str, subject: str) -> Path:
        """One PEM with certificate and key."""
        (self._directory / "ext").write_text(f"subjectAltName={subject}")
        self._openssl("req", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        self._openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-extfile", "ext", "-out", f"{name}.crt"),
        )
        pem = self._directory / f"{name}.pem"
        pem.write_text("".join((self._directory / f"{name}.{part}").read_text() for part in ("crt", "key")))
        return pem

    def _openssl(self, command: str, *options: str) -> None:
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"] if command == "req" else []
        subprocess.run(
            ["openssl", command, *new_key, *options], cwd=self._directory, check=True, capture_output=True, timeout=30
        )


def new_authority(directory: Path) -> Authority:
    """An authority in this directory, where there is a program to make one."""
    if shutil.which("openssl") is None:
        pytest.skip("certificates are made with the openssl program, which this machine lacks")
    return Authority(directory)


def server_tls(authority: Authority, subject: str = "IP:127.0.0.1", *, asks_for_client: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue(f"server-{subject[-1]}", subject))
    if asks_for_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.ca)
    return context
