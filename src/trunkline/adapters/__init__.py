"""The outside world, one file for each thing in it. Errors of libraries are translated here into `trunkline.errors`.

`patroni_rest` Patroni's REST API      `runtime_socket` HAProxy's sockets      `master_socket` its reloads
`haproxy_process`, `haproxy_binary` its processes and program      `process_table`, `listening`, `systemd` the host
`postgres_activity` PostgreSQL      `resolver` host names      `files` files that appear whole
"""
