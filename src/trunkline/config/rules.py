"""What must hold between settings that are each fine alone, and the files that they name.

Owns the rules; each is a generator of what is broken. Pure, but for the last: `broken_files` looks at the disk.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from trunkline.config.addresses import Bind
from trunkline.config.faults import Key, shown_name, shown_text, written_path
from trunkline.config.settings import ClusterSettings, Settings

Binding = tuple[Key, Bind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A rule that does not hold. `about`: the settings that it is about, the one to change first."""

    about: tuple[Key, ...]
    found: str
    allowed: str = ""
    hint: str = ""


def broken_rules(settings: Settings) -> Iterator[Broken]:
    """Everything that does not fit together."""
    yield from _scopes(settings)
    yield from _binds(settings)
    yield from _stats(settings)
    for index, cluster in enumerate(settings.clusters):
        yield from _cluster(cluster, ("clusters", index))


def broken_files(settings: Settings) -> Iterator[Broken]:
    """Named files that are not there, or that this user may not use."""
    for index, cluster in enumerate(settings.clusters):
        api = cluster.api
        for name, path in (("ca_file", api.ca_file), ("cert_file", api.cert_file), ("key_file", api.key_file)):
            yield from _file(("clusters", index, "api", name), path, os.R_OK, "a file that this user may read")
        key = ("clusters", index, "dcs", "patroni_config")
        yield from _file(key, cluster.dcs.patroni_config, os.R_OK, "a patroni.yml that this user may read")
    yield from _file(("haproxy", "binary"), settings.haproxy.binary, os.X_OK, "a program that this user may run")


def _scopes(settings: Settings) -> Iterator[Broken]:
    if len(settings.clusters) < 2:
        return
    seen: dict[str, int] = {}
    for index, cluster in enumerate(settings.clusters):
        key: Key = ("clusters", index, "scope")
        if cluster.scope is None:
            yield Broken(about=(key,), found="no scope", hint="with several clusters each needs its name")
        elif cluster.scope in seen:
            hint = f"clusters[{seen[cluster.scope]}] has it already"
            yield Broken(
                about=(key,), found=f"{shown_text(cluster.scope)} a second time", allowed="one of its own", hint=hint
            )
        else:
            seen[cluster.scope] = index
        if not cluster.patroni:
            about: Key = ("clusters", index, "patroni")
            yield Broken(about=(about,), found="no REST API", hint="with several clusters each needs its own")


def _binds(settings: Settings) -> Iterator[Broken]:
    bindings = list(_all_bindings(settings))
    for (first_key, first), (second_key, second) in combinations(bindings, 2):
        if first.overlaps(second):
            about = (second_key, first_key)
            hint = f"{written_path(first_key)} takes {first}"
            yield Broken(
                about=about, found=f"{second}, which is taken", allowed="an address or port of its own", hint=hint
            )


def _all_bindings(settings: Settings) -> Iterator[Binding]:
    for index, cluster in enumerate(settings.clusters):
        for name in type(cluster.services).model_fields:
            service = getattr(cluster.services, name)
            for bind in service.bind if service is not None else ():
                yield ("clusters", index, "services", name, "bind"), bind
    if settings.stats.enabled:
        for bind in settings.stats.bind:
            yield ("stats", "bind"), bind


def _stats(settings: Settings) -> Iterator[Broken]:
    stats = settings.stats
    about: tuple[Key, ...] = (("stats", "user"), ("stats", "password"))
    if (stats.user is None) != (stats.password is None):
        yield _one_of_two(about, stats.user is None)
    elif stats.enabled and stats.user is None and any(bind.is_wildcard for bind in stats.bind):
        hint = "set stats.user and stats.password, or bind to loopback and to the management address"
        yield Broken(about=(("stats", "bind"), *about), found="every address, without a password", hint=hint)


def _cluster(cluster: ClusterSettings, at: Key) -> Iterator[Broken]:
    yield from _api(cluster, at)
    checks, services = cluster.checks, cluster.services
    if not any(getattr(services, name) for name in type(services).model_fields):
        yield Broken(about=((*at, "services"),), found="no service at all", allowed="at least one")
    for name in ("fast_interval_ms", "down_interval_ms"):
        quick: int = getattr(checks, name)
        if quick > checks.interval_ms:
            about = ((*at, "checks", name), (*at, "checks", "interval_ms"))
            allowed = f"at most checks.interval_ms, {checks.interval_ms}"
            yield Broken(about=about, found=f"{quick} in {name}", allowed=allowed)
    hold = cluster.hold
    if hold.timeout_s is not None and hold.unreached_timeout_s > hold.timeout_s:
        about = ((*at, "hold", "unreached_timeout_s"), (*at, "hold", "timeout_s"))
        allowed = f"at most hold.timeout_s, {hold.timeout_s:g}"
        yield Broken(about=about, found=f"{hold.unreached_timeout_s:g} in unreached_timeout_s", allowed=allowed)


def _api(cluster: ClusterSettings, at: Key) -> Iterator[Broken]:
    api = cluster.api
    login: tuple[Key, ...] = ((*at, "api", "username"), (*at, "api", "password"))
    if (api.username is None) != (api.password is None):
        yield _one_of_two(login, api.username is None)
    elif api.authenticate_checks and api.username is None:
        hint = "set api.username and api.password"
        yield Broken(about=((*at, "api", "authenticate_checks"), *login), found="nobody to authenticate as", hint=hint)
    if api.key_file is not None and api.cert_file is None:
        about = ((*at, "api", "key_file"), (*at, "api", "cert_file"))
        yield Broken(about=about, found="a key without a certificate", hint="set api.cert_file")
    named = [name for name in ("ca_file", "cert_file") if getattr(api, name) is not None]
    if named and cluster.patroni and not any(url.startswith("https:") for url in cluster.patroni):
        about = ((*at, "api", named[0]), (*at, "patroni"))
        yield Broken(about=about, found="TLS, but no URL with https", hint=f"write {_with_tls(cluster.patroni[0])}")


def _with_tls(url: str) -> str:
    return url.replace("http:", "https:", 1)


def _one_of_two(about: tuple[Key, ...], is_user_missing: bool) -> Broken:
    user, password = about
    present, absent = (password, user) if is_user_missing else (user, password)
    return Broken(about=(present, absent), found=f"{present[-1]} without {absent[-1]}", allowed="both or neither")


def _file(key: Key, path: Path | None, mode: int, allowed: str) -> Iterator[Broken]:
    if path is None:
        return
    try:
        is_file, is_usable = path.is_file(), os.access(path, mode)
    except (OSError, ValueError):
        is_file, is_usable = False, False
    if not is_file:
        yield Broken(about=(key,), found=f"{shown_name(str(path))}, which is no file", allowed=allowed)
    elif not is_usable:
        yield Broken(about=(key,), found=f"{shown_name(str(path))}, which this user may not use", allowed=allowed)
