"""`lab.json`: what outsiders (scripts, people, other tools) need to use a running lab. A stable interface.

Written whole when the lab is complete, and again when the live view of the demo has brought members back. HAProxy and
the agent are started anew by `trunkline run`, which knows nothing of this file: `pid_file` says where the pid of the
moment stands. It holds the superuser's password, so only its owner can read it.
"""

import json
import shlex
from pathlib import Path

from trunkline.lab.balancer import Balancer
from trunkline.lab.cluster import Lab
from trunkline.lab.etcd import NAME as ETCD
from trunkline.lab.layout import SCOPE
from trunkline.lab.patroni_config import SUPERUSER
from trunkline.lab.record import write_private

FILE = "lab.json"


def describe(lab: Lab, balancer: Balancer) -> dict[str, object]:
    """The content of lab.json; addresses are "host:port", a pid is null where the process was down at that moment.
    `pid_file`: a file with one number, of a process that has ended until the next one has begun; null without one."""
    etcd, agent = lab.processes.alive(ETCD), balancer.agent
    return {
        "scope": SCOPE,
        "listen": {service: f"{host}:{port}" for service, (host, port) in lab.layout.listen.items()},
        "superuser": {"user": SUPERUSER, "password": lab.made.passwords.superuser},
        "settings": str(balancer.settings),
        "haproxy": {
            "pid": balancer.haproxy_pid,
            "pid_file": str(balancer.haproxy_pid_file),
            "config": str(balancer.config),
            "socket": str(balancer.admin_socket),
        },
        "agent": {
            "pid": agent.pid if agent else None,
            "pid_file": str(balancer.agent_pid_file) if balancer.has_agent else None,
        },
        "etcd": {"pid": etcd.pid if etcd else None, "url": lab.layout.etcd_url},
        "members": [
            {
                "name": member.name,
                "host": member.place.host,
                "port": member.place.port,
                "api_url": member.place.api_url,
                "patroni_pid": member.patroni.pid if member.patroni else None,
                "data_dir": str(member.place.data_dir),
                "patroni_config": str(member.place.patroni_config),
            }
            for member in lab.members.values()
        ],
        "patronictl": shlex.join(lab.patronictl),
    }


def announce(lab: Lab, balancer: Balancer) -> Path:
    """Write lab.json, whole or not at all."""
    path = lab.root / FILE
    write_private(path, json.dumps(describe(lab, balancer), indent=2) + "\n")
    return path
