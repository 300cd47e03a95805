"""The files of one HAProxy: configuration, Lua, and the state file that says DOWN for every server.

Owns how they look, never what they say: every number comes from `trunkline.plan.balancer`. The same balancer gives
the same bytes.
"""

from collections.abc import Iterable
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from trunkline.model.desired import Balancer, CheckTls, Endpoint, RenderedFile, Server, Service, ServiceKind
from trunkline.render.state import FULL_WEIGHT, resting_state

READABLE, SECRET = 0o644, 0o600

LUA_FILES = ("shares.lua", "trunkline.lua", "refuse.lua", "added.lua", "lease.lua")
"""One file for HAProxy: each part needs those before it."""

SOCKET_NAME_LIMIT = 100
"""Bytes of an abstract socket's name, below the kernel's 107."""

HASH_LENGTH = 12

PURPOSES = {
    ServiceKind.PRIMARY: "the primary, read-write",
    ServiceKind.REPLICAS: "the replicas, read-only, balanced",
    ServiceKind.SYNC_REPLICAS: "the synchronous replicas, read-only, balanced",
    ServiceKind.ASYNC_REPLICAS: "the asynchronous replicas, read-only, balanced",
}


def haproxy_files(balancer: Balancer) -> tuple[RenderedFile, ...]:
    """All files of this HAProxy, the configuration last: it refers to the others."""
    return (
        RenderedFile(path=balancer.paths.lua, text=lua_text(), mode=READABLE),
        RenderedFile(path=balancer.paths.state, text=resting_state(balancer), mode=READABLE),
        RenderedFile(
            path=balancer.paths.config,
            text=configuration_text(balancer),
            mode=SECRET if _has_secrets(balancer) else READABLE,
        ),
    )


def configuration_text(balancer: Balancer) -> str:
    """The `haproxy.cfg`."""
    scopes = sorted({service.scope for service in balancer.services})
    title = f"the Patroni cluster{'s' if len(scopes) > 1 else ''} {', '.join(scopes)}"
    return _ENVIRONMENT.get_template("haproxy.cfg.j2").render(
        title=title,
        paths=balancer.paths,
        process=balancer.process,
        lua_socket=balancer.lua_socket,
        timeouts=balancer.timeouts,
        services=balancer.services,
        stats=balancer.stats,
        bell_socket=bell_socket(balancer),
        lua_socket_seen=_as_workers_see(balancer.lua_socket, balancer.process.chroot),
        check_log=balancer.check_log,
    )


def lua_text() -> str:
    """The Lua that HAProxy loads: the same for every configuration, which passes its numbers as arguments."""
    templates = files("trunkline.render").joinpath("templates")
    return "\n".join(templates.joinpath(name).read_text(encoding="utf-8") for name in LUA_FILES)


def duration(milliseconds: int) -> str:
    """Milliseconds in HAProxy's words: `27s`, `2155ms`."""
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def quoted(text: str) -> str:
    """A string for the configuration language, where single quotes keep everything but themselves (manual, 2.2)."""
    return "'" + text.replace("'", "'\\''") + "'"


def listener(bind: Endpoint) -> str:
    """The address of a `bind`; `[::]` takes IPv4 as well, as people who write it expect."""
    return f"{bind} v4v6" if bind.address == "::" else str(bind)


def api(server: Server) -> str:
    """Where the check of a server goes; only what differs from the server's own address."""
    if server.api.address == server.postgres.address:
        return f"port {server.api.port}"
    address = f"[{server.api.address}]" if ":" in server.api.address else server.api.address
    return f"addr {address} port {server.api.port}"


def check_options(service: Service) -> str:
    """How each server of a service is checked, in the words of `server` and `default-server`."""
    timing = service.timing
    words = f"check inter {timing.interval_ms}ms fastinter {timing.fast_interval_ms}ms "
    words += f"downinter {timing.down_interval_ms}ms rise {timing.rise} fall {timing.fall}"
    return f"{words} {check_tls(service.tls)}" if service.tls else words


def session_options(service: Service) -> str:
    """What holds of the sessions of each server, in the same words."""
    words = [f"maxconn {service.server_maxconn}"] if service.server_maxconn else []
    words += ["on-marked-down shutdown-sessions"] if service.kind is ServiceKind.PRIMARY else []
    words += [f"weight {FULL_WEIGHT}"] if service.slow_start_ms else []
    return " ".join(words)


def check_tls(tls: CheckTls) -> str:
    """The `server` words for a REST API that speaks TLS."""
    words = ["check-ssl"]
    if tls.verify:
        words += ["verify required", f"ca-file {tls.ca_file or '@system-ca'}"]
    else:
        words += ["verify none"]
    if tls.certificate_file:
        words += [f"crt {tls.certificate_file}"]
    if tls.server_name:
        words += [f"check-sni {tls.server_name}"]
    return " ".join(words)


def comment(text: str) -> str:
    """A name that others chose, for a comment: what is not printable (a line's end above all) is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def hold_socket(service: Service) -> str:
    """The abstract socket of the holding frontend; the first bind makes it this HAProxy's own on its host."""
    bind = service.binds[0]
    return _socket_name(f"{service.proxy}-{bind.address}-{bind.port}")


def bell_socket(balancer: Balancer) -> str | None:
    """The abstract socket of the bell that wakes waiting clients, where this HAProxy needs one."""
    if not (balancer.needs_bell and balancer.services):
        return None
    return _socket_name(f"hold_bell-{hold_socket(balancer.services[0])}")


def ports_that_refuse(services: Iterable[Service]) -> str:
    """What templates/refuse.lua has to know of each port, in one argument: five words each."""
    return " ".join(
        f"{it.proxy} {'one' if it.kind is ServiceKind.PRIMARY else 'any'} {it.fallback_proxy or '-'} "
        f"{it.hold.timeout_ms} {it.hold.unreached_timeout_ms}"
        for it in services
    )


def slow_starts(services: Iterable[Service]) -> str:
    """What templates/shares.lua has to know: two words for each proxy whose servers start slowly."""
    return " ".join(f"{it.proxy} {it.slow_start_ms}" for it in services if it.slow_start_ms)


def _as_workers_see(path: str | None, chroot: str | None) -> str | None:
    return path.removeprefix(chroot) if path and chroot else path


def _socket_name(text: str) -> str:
    """Shortened where a long scope would exceed what the kernel takes; a hash keeps it unique."""
    if len(text) <= SOCKET_NAME_LIMIT:
        return text
    digest = sha256(text.encode("utf-8")).hexdigest()[:HASH_LENGTH]
    return f"{text[: SOCKET_NAME_LIMIT - HASH_LENGTH - 1]}-{digest}"


def _has_secrets(balancer: Balancer) -> bool:
    has_password = balancer.stats is not None and balancer.stats.password is not None
    return has_password or any(service.authorization for service in balancer.services)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("trunkline.render"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # a configuration, not a page
        auto_reload=False,  # an update of the package is for the next process
    )
    environment.filters.update(
        api=api,
        check_options=check_options,
        comment=comment,
        duration=duration,
        hold_socket=hold_socket,
        listener=listener,
        ports_that_refuse=ports_that_refuse,
        purpose=lambda service: PURPOSES[service.kind],
        quoted=quoted,
        session_options=session_options,
        slow_starts=slow_starts,
    )
    environment.tests["primary"] = lambda service: service.kind is ServiceKind.PRIMARY
    return environment


_ENVIRONMENT = _environment()
