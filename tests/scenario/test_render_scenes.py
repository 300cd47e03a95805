"""What HAProxy is given, scene by scene: render/<scene>/ has settings and what Patroni says in scene.yml, and beside it
the configuration and the state file that come of them, as they would stand in /etc/haproxy.

`pytest --rewrite tests/scenario/test_render_scenes.py` writes those anew. Each HAProxy that is found reads every one
of them.
"""

import getpass
import grp
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from haproxy_verdict import judged

from trunkline.adapters.files import install
from trunkline.agent.configuration import Sources, configure
from trunkline.agent.discovery import Known, resolved
from trunkline.config.rules import broken_rules
from trunkline.config.settings import ClusterSettings, Settings
from trunkline.lab.binaries import Binary, find_haproxies
from trunkline.model.cluster import ClusterView
from trunkline.model.desired import HostFacts, RenderedFile
from trunkline.plan.balancer import desired_balancer
from trunkline.plan.paths import run_paths, service_paths
from trunkline.render.haproxy import haproxy_files
from trunkline.wire.patroni import parse_cluster, parse_config

SCENES = sorted(path.parent for path in (Path(__file__).parent / "render").glob("*/scene.yml"))
PLAIN = """defaults
    mode tcp
    timeout client 1s
    timeout server 1s
    timeout connect 1s
listen it
    bind 127.0.0.1:1
"""
GOLDEN = ("haproxy.cfg", "haproxy.state")
Raw = Mapping[str, Any]

NEW_CERTIFICATE = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
every_scene = pytest.mark.parametrize("scene", SCENES, ids=lambda path: path.name)
each_haproxy = pytest.mark.parametrize(
    "haproxy", find_haproxies(), ids=lambda it: f"haproxy-{it.version[0]}.{it.version[1]}"
)


@every_scene
def test_scene(scene: Path, request: pytest.FixtureRequest) -> None:
    files = rendered(yaml.safe_load((scene / "scene.yml").read_text()))
    for name, file in files.items():
        if request.config.getoption("--rewrite"):
            (scene / name).write_text(file.text)
        assert (scene / name).read_text() == file.text
    is_secret = any(word in files["haproxy.cfg"].text for word in ("insecure-password", "Authorization"))
    assert files["haproxy.cfg"].mode == (0o600 if is_secret else 0o644)


def test_there_are_scenes() -> None:
    assert len(SCENES) > 15


@pytest.mark.haproxy
@each_haproxy
@every_scene
def test_haproxy_takes_it_and_every_server_is_down(scene: Path, haproxy: Binary, certificates: Path) -> None:
    """Files, users and directories of the scene are ones that exist here; nothing else is changed. HAProxy warns only
    of what the state file is for: each server begins as DOWN."""
    group = grp.getgrgid(os.getgid()).gr_name
    text = (scene / "scene.yml").read_text()
    for word, here in (
        ("/etc/trunkline", str(certificates)),
        ("/var/lib/haproxy", str(certificates)),
        ("user: haproxy", f"user: {getpass.getuser()}"),
        ("group: haproxy", f"group: {group}"),
    ):
        text = text.replace(word, here)
    raw = yaml.safe_load(text)
    settings = settings_of(raw)
    if "@system-ca" in (scene / "haproxy.cfg").read_text() and not knows_system_authorities(haproxy, certificates):
        pytest.skip(f"{haproxy.path} was built without knowing where this system keeps its authorities")
    host = HostFacts(file_limit=4096, haproxy_version=(haproxy.version[0], haproxy.version[1]))
    sources = Sources(settings=settings, clusters=views_of(raw), host=host)
    paths = run_paths(certificates, settings)
    install(configure(sources, paths).files)
    verdict = judged(haproxy, Path(paths.config))
    assert verdict.complaints == ()
    balancer = desired_balancer(settings, sources.clusters, host, paths)
    assert verdict.down == {
        f"{service.proxy}/{server.name}" for service in balancer.services for server in service.servers
    }


def knows_system_authorities(haproxy: Binary, directory: Path) -> bool:
    """The wheel's OpenSSL looks for them where it was built."""
    config = directory / "system.cfg"
    config.write_text(f"{PLAIN}    server it 127.0.0.1:1 ssl verify required ca-file @system-ca\n")
    return judged(haproxy, config).complaints == ()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as /etc/trunkline, with an authority and a client certificate with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("certificates are made with the openssl program, which this machine lacks")
    directory = tmp_path_factory.mktemp("tls")
    for name in ("ca", "client"):
        subprocess.run(
            [*NEW_CERTIFICATE, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}"],
            cwd=directory,
            check=True,
            capture_output=True,
            timeout=30,
        )
    return directory


def rendered(raw: Raw) -> dict[str, RenderedFile]:
    """The files of a scene that are kept, by their names."""
    settings = settings_of(raw)
    about = {"file_limit": 4096, "haproxy": (2, 8)} | raw.get("host", {})
    host = HostFacts(file_limit=about["file_limit"], haproxy_version=tuple(about["haproxy"]))
    *_, state, config = haproxy_files(desired_balancer(settings, views_of(raw), host, service_paths(settings)))
    return dict(zip(GOLDEN, (config, state), strict=True))


def settings_of(raw: Raw) -> Settings:
    """As written in a settings file, the one cluster's at the top."""
    written = dict(raw["settings"])
    if "clusters" not in written:
        written["clusters"] = [{name: written.pop(name) for name in ClusterSettings.model_fields if name in written}]
    settings = Settings.model_validate(written)
    assert not list(broken_rules(settings)), "a scene that would be refused"
    return settings


def views_of(raw: Raw) -> tuple[ClusterView | None, ...]:
    return tuple(view_of(it) if it else None for it in raw.get("clusters", [raw]))


def view_of(raw: Raw) -> ClusterView:
    """As Patroni's answers and the resolver's together give it."""
    view = parse_cluster(json.dumps(raw["cluster"]))
    config = parse_config(json.dumps(raw["config"]))
    known = ClusterView(scope=view.scope, members=view.members, config=config)
    return resolved(Known(view=known, addresses=raw.get("addresses", {})))
