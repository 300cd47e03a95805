"""The benchmark: what Trunkline is worth and what it costs, on this machine, beside what others do.

    python -m benchmarks             (or: make bench)                     all parts, one after the other
    python -m benchmarks fleet       (or: make bench ARGS="fleet")        one of them; --help has its options

`reroute`  role changes of a real cluster; `measures` what one round is worth (pure) · `contenders`,
           `patroni_template.cfg.j2` the balancers · `rounds` playing them · `summary` medians, ratios and the verdict
           (pure) · `report`, `plot` what is shown and kept
`rest`     what stands beside a real cluster at rest
`churn`    members that come and go, without a reload and by one each
`fleet`    one agent for a thousand members; `fleet_host` their process · `poller` what it is compared with
`usage`    CPU and memory of processes · `sheets` tables and files of these three
"""
