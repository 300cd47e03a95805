"""From settings and clusters to the files of a HAProxy, judged by HAProxy itself before any of them is live.

Joins the pure rooms (`plan`, `render`) with the few things that they may not touch: certificates, and `haproxy -c`.
Shared by `trunkline run` and `trunkline apply`, so that both write the same bytes.
"""

import hashlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from trunkline.adapters.files import install, read_text
from trunkline.adapters.haproxy_binary import HAProxyBinary, refusal
from trunkline.config.settings import ApiSettings, Settings
from trunkline.errors import HAProxyError
from trunkline.model.cluster import ClusterView
from trunkline.model.desired import Balancer, HostFacts, Paths, RenderedFile
from trunkline.plan.balancer import client_certificate, desired_balancer
from trunkline.render.haproxy import SECRET, haproxy_files


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A balancer and its files; the configuration itself is the last of them."""

    balancer: Balancer
    files: tuple[RenderedFile, ...]

    @property
    def digest(self) -> str:
        """The same for the same files."""
        text = "\0".join(f"{file.path}\0{file.text}" for file in self.files)
        return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()


def configure(
    settings: Settings, clusters: tuple[ClusterView | None, ...], host: HostFacts, paths: Paths
) -> Configuration:
    """What HAProxy should be and the files that say so. Raises HAProxyError where a certificate cannot be read."""
    balancer = desired_balancer(settings, clusters, host, paths)
    certificates = tuple(
        RenderedFile(path=client_certificate(view.scope, paths), text=certificate_text(chosen.api), mode=SECRET)
        for chosen, view in zip(settings.clusters, clusters, strict=True)
        if view is not None and chosen.api.cert_file is not None
    )
    return Configuration(balancer=balancer, files=certificates + haproxy_files(balancer))


def certificate_text(api: ApiSettings) -> str:
    """Our client certificate and its key in one text."""
    parts: list[str] = []
    for setting, path in (("api.cert_file", api.cert_file), ("api.key_file", api.key_file)):
        text = read_text(path) if path is not None else ""
        if text is None:
            raise HAProxyError(f"there is no {path}", hint=f"{setting} names a PEM file")
        parts.append(text if not text or text.endswith("\n") else f"{text}\n")
    return "".join(parts)


def require_accepted(
    binary: HAProxyBinary,
    settings: Settings,
    clusters: tuple[ClusterView | None, ...],
    host: HostFacts,
    paths: Paths,
) -> None:
    """Let HAProxy judge all of the files together, before any is in its place. Raises HAProxyError in its words.

    The files refer to each other by path: they are made a second time, for a directory that is gone afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="trunkline-check-") as name:
        staged = staged_paths(paths, Path(name))
        install(configure(settings, clusters, host, staged).files)
        words = refusal(binary, Path(staged.config))
    if words:
        for temporary, real in _pairs(staged, paths):
            words = words.replace(temporary, real)
        raise HAProxyError(
            f"HAProxy {binary.words} refuses the configuration:\n{words}",
            hint="nothing was changed; `trunkline render haproxy` shows the configuration",
        )


def staged_paths(paths: Paths, directory: Path) -> Paths:
    """The same files elsewhere; sockets stay where they are, since `haproxy -c` opens none."""
    return replace(
        paths,
        config=str(directory / "haproxy.cfg"),
        lua=str(directory / "trunkline.lua"),
        state=str(directory / "haproxy.state"),
        certificates=str(directory),
    )


def _pairs(staged: Paths, paths: Paths) -> Iterable[tuple[str, str]]:
    yield staged.config, paths.config
    yield staged.lua, paths.lua
    yield staged.state, paths.state
    yield staged.certificates, paths.certificates
