"""The lab's etcd: one node on 127.0.0.10. Starts it and waits until it answers; what is in it is Patroni's business."""

from trunkline.errors import LabError
from trunkline.lab.api import ask
from trunkline.lab.binaries import Binary
from trunkline.lab.layout import Layout
from trunkline.lab.processes import ProcessTable, wait_until

NAME = "etcd"
START_TIMEOUT_S = 20.0


def start_etcd(layout: Layout, binary: Binary, processes: ProcessTable) -> None:
    """Start etcd unless it runs; back when it answers."""
    if processes.alive(NAME):
        return
    layout.etcd_dir.mkdir(mode=0o700, exist_ok=True)
    peer_url = f"http://{layout.etcd_host}:{layout.etcd_peer_port}"
    log = layout.etcd_dir / "etcd.log"
    command = [
        str(binary.path),
        f"--name={NAME}",
        f"--data-dir={layout.etcd_dir / 'data'}",
        f"--listen-client-urls={layout.etcd_url}",
        f"--advertise-client-urls={layout.etcd_url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster={NAME}={peer_url}",
        "--logger=zap",
        "--log-level=warn",
    ]
    if binary.version >= (3, 5):
        # A slow disk under fsync makes a leader lose its key; the lab is thrown away after a power cut anyway.
        command.append("--unsafe-no-fsync")
    processes.start(NAME, command, directory=layout.etcd_dir, log=log)

    def has_answered_or_died() -> bool:
        return ask(layout.etcd_host, layout.etcd_port, "/health").status == 200 or processes.alive(NAME) is None

    wait_until(has_answered_or_died, timeout_s=START_TIMEOUT_S)
    if processes.alive(NAME) is None or ask(layout.etcd_host, layout.etcd_port, "/health").status != 200:
        raise LabError("etcd did not start", hint=f"its last words are in {log}")
