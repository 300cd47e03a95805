"""The benchmark: `trunkline run` beside the template of Patroni's documentation, in front of one cluster.

    python -m benchmarks --rounds 5        (or: make bench ARGS="--rounds 5")

`measures` what one round is worth (pure) · `contenders`, `patroni_template.cfg.j2` the two balancers
`rounds` playing them · `summary` medians, ratios and the verdict (pure) · `report`, `plot` what is shown and kept
"""
