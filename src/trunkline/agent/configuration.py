"""From settings and clusters to the files of a HAProxy, judged by HAProxy itself before any of them is live.

Joins the pure rooms (`plan`, `render`) with the few things that they may not touch: certificates, and `haproxy -c`.
Shared by `trunkline run`, `trunkline apply` and `trunkline render`, so that all of them make the same bytes.
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
from trunkline.model.desired import Balancer, Endpoint, HostFacts, Paths, RenderedFile
from trunkline.plan.balancer import AS_SET, client_certificate, desired_balancer
from trunkline.render.haproxy import SECRET, haproxy_files


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """All that a configuration is made from; `clusters` in the order of the settings, None for one nobody has seen."""

    settings: Settings
    clusters: tuple[ClusterView | None, ...]
    host: HostFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A balancer and its files; the configuration itself is the last of them."""

    sources: Sources
    balancer: Balancer
    files: tuple[RenderedFile, ...]

    @property
    def digest(self) -> str:
        """The same for the same files."""
        return _digest(self.files)

    @property
    def skeleton(self) -> str:
        """The same for configurations that differ in their members alone, which come and go without a reload. How many
        sessions fit beside them, where that is counted, is none of the difference."""
        balancer = self.balancer
        services = tuple(replace(service, servers=()) for service in balancer.services)
        process = balancer.process
        if process.maxconn_reason != AS_SET:
            process = replace(process, maxconn=1, maxconn_reason="")
        bare = replace(balancer, services=services, process=process)
        bones = haproxy_files(bare)
        others = tuple(file for file in self.files if file.path not in {bone.path for bone in bones})
        return _digest(others + bones)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Everything that HAProxy listens on."""
        stats = self.balancer.stats.binds if self.balancer.stats else ()
        return tuple(bind for service in self.balancer.services for bind in service.binds) + stats


def _digest(files: Iterable[RenderedFile]) -> str:
    text = "\0".join(f"{file.path}\0{file.mode:o}\0{file.text}" for file in files)
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()


def configure(sources: Sources, paths: Paths) -> Configuration:
    """What HAProxy should be and the files that say so. Raises HAProxyError where a certificate cannot be read."""
    balancer = desired_balancer(sources.settings, sources.clusters, sources.host, paths)
    certificates = tuple(
        RenderedFile(path=client_certificate(view.scope, paths), text=certificate_text(chosen.api), mode=SECRET)
        for chosen, view in zip(sources.settings.clusters, sources.clusters, strict=True)
        if view is not None and chosen.api.cert_file is not None
    )
    return Configuration(sources=sources, balancer=balancer, files=certificates + haproxy_files(balancer))


def wanted_endpoints(settings: Settings) -> tuple[Endpoint, ...]:
    """What HAProxy will listen on, known before any cluster is."""
    services = [chosen.services for chosen in settings.clusters]
    wanted = [it for each in services for it in (each.primary, each.replicas, each.sync_replicas, each.async_replicas)]
    binds = [bind for service in wanted if service is not None for bind in service.bind]
    stats = settings.stats.bind if settings.stats.enabled else ()
    return tuple(Endpoint(address=bind.address, port=bind.port) for bind in (*binds, *stats))


def certificate_text(api: ApiSettings) -> str:
    """Our client certificate and its key in one text."""
    parts: list[str] = []
    for setting, path in (("api.cert_file", api.cert_file), ("api.key_file", api.key_file)):
        text = read_text(path) if path is not None else ""
        if text is None:
            raise HAProxyError(f"there is no {path}", hint=f"{setting} names a PEM file")
        parts.append(text if not text or text.endswith("\n") else f"{text}\n")
    return "".join(parts)


def require_accepted(binary: HAProxyBinary, configuration: Configuration) -> None:
    """Let HAProxy judge all of the files together, before any is in its place. Raises HAProxyError in its words.

    The files refer to each other by path: they are made a second time, for a directory that is gone afterwards.
    """
    paths = configuration.balancer.paths
    with tempfile.TemporaryDirectory(prefix="trunkline-check-") as name:
        staged = staged_paths(paths, Path(name))
        install(configure(configuration.sources, staged).files)
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
