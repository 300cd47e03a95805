"""Fakes that ship with Trunkline, for its own tests and for those of people who build on it.

`fake_patroni` one member's REST API, scripted    `fake_cluster` several members that tell one story
`fake_haproxy` an admin socket
Each passes the contract tests that the real part passes (tests/contract).
"""
