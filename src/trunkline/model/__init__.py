"""The vocabulary: frozen values that every other room speaks in. Nothing here decides, reads or writes.

`cluster`  what Patroni says     `proxy`   what HAProxy says
`desired`  what HAProxy should be told      `status`, `client`  what a person is told
"""
