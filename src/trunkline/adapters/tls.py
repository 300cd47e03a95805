"""TLS as a client: one context from the files that settings name, or a sentence that says which of them is wrong."""

import ssl
from pathlib import Path
from typing import Protocol

from trunkline.errors import TrunklineError


class Files(Protocol):
    """Settings of a client's TLS."""

    @property
    def ca_file(self) -> Path | None:
        """Who may have signed the other's certificate."""

    @property
    def cert_file(self) -> Path | None:
        """Our own certificate."""

    @property
    def key_file(self) -> Path | None:
        """Its key."""

    @property
    def verify(self) -> bool:
        """Whether the other's is checked."""


def client_context(files: Files, *, section: str, error: type[TrunklineError]) -> ssl.SSLContext:
    """`section`: where these settings stand. Raises `error`."""
    try:
        context = ssl.create_default_context(cafile=files.ca_file)
    except OSError as problem:  # ssl.SSLError is one
        raise error(
            f"cannot use the certificates in {files.ca_file}: {problem.strerror or problem}",
            hint=f"{section}.ca_file names a readable PEM file",
        ) from problem
    if not files.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if files.cert_file is not None:
        try:
            context.load_cert_chain(files.cert_file, files.key_file, password="")
        except (OSError, ValueError) as problem:
            raise error(
                f"cannot use the client certificate {files.cert_file}: {words(problem)}",
                hint=f"{section}.cert_file and {section}.key_file name readable PEM files that belong together, "
                "the key without a passphrase",
            ) from problem
    return context


def words(error: BaseException) -> str:
    """What the system or a library says of an error, in one line."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join(text.split())
