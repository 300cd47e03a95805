"""The lab: a real Patroni cluster with etcd on this machine, for `trunkline demo`, the tests and the benchmarks.

    python -m trunkline.lab --dir /tmp/lab        brings a bare cluster up in the foreground
    Lab.create(directory) / Lab.attach(directory)  the same from Python (`trunkline.lab.cluster`)

`layout` where everything is · `binaries` which programs · `patroni_config` how members are configured
`processes`, `procfs`, `ending` starting, finding and ending processes
`etcd`, `member` the parts · `cluster` the whole
"""

from trunkline.lab.cluster import Lab

__all__ = ["Lab"]
