"""What differs between two balancers, in words for a log line. Pure: values in, sentences out."""

from collections.abc import Iterator, Mapping

from trunkline.model.desired import Balancer, Server, Service


def changes(old: Balancer, new: Balancer) -> tuple[str, ...]:
    """One sentence for each difference that a person would ask about; never empty where the balancers differ."""
    return tuple(_sentences(old, new)) or (("settings",) if old != new else ())


def _sentences(old: Balancer, new: Balancer) -> Iterator[str]:
    yield from _members(old, new)
    before, after = _services(old), _services(new)
    for name in sorted(before.keys() - after.keys()):
        yield f"{name} is served no more"
    for name in sorted(after.keys() - before.keys()):
        yield f"{name} is served on {_binds(after[name])}"
    for name in sorted(before.keys() & after.keys()):
        yield from _service(before[name], after[name])
    if old.process.maxconn != new.process.maxconn:
        yield f"maxconn {old.process.maxconn} -> {new.process.maxconn}"
    for what in ("process", "timeouts", "stats"):
        if getattr(old, what) != getattr(new, what) and old.process.maxconn == new.process.maxconn:
            yield f"settings of {what}"


def _members(old: Balancer, new: Balancer) -> Iterator[str]:
    before, after = _by_member(old), _by_member(new)
    for key in sorted(after.keys() - before.keys()):
        yield f"{key[1]} joined at {after[key].postgres}"
    for key in sorted(before.keys() - after.keys()):
        yield f"{key[1]} left"
    for key in sorted(after.keys() & before.keys()):
        was, now = before[key], after[key]
        if was.postgres != now.postgres:
            yield f"{key[1]} moved from {was.postgres} to {now.postgres}"
        if was.api != now.api:
            yield f"{key[1]}'s API moved from {was.api} to {now.api}"


def _service(old: Service, new: Service) -> Iterator[str]:
    if old.binds != new.binds:
        yield f"{new.proxy} listens on {_binds(new)}"
    if old.server_maxconn != new.server_maxconn:
        yield f"{new.proxy}: sessions per server {_limit(old)} -> {_limit(new)}"
    if old.hold.timeout_ms != new.hold.timeout_ms:
        yield f"{new.proxy}: hold {old.hold.timeout_ms / 1000:g} s -> {new.hold.timeout_ms / 1000:g} s"
    if old.timing != new.timing:
        yield f"{new.proxy}: timing of checks"
    if (old.path, old.tls, old.authorization) != (new.path, new.tls, new.authorization):
        yield f"{new.proxy}: what its checks ask"


def _by_member(balancer: Balancer) -> Mapping[tuple[str, str], Server]:
    return {(service.scope, server.member): server for service in balancer.services for server in service.servers}


def _services(balancer: Balancer) -> Mapping[str, Service]:
    return {service.proxy: service for service in balancer.services}


def _binds(service: Service) -> str:
    return ", ".join(map(str, service.binds))


def _limit(service: Service) -> str:
    return str(service.server_maxconn or "unlimited")
