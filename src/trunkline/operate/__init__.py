"""Workflows that a person starts, between the command line and the adapters.

`status` what is true now      `who` which client is behind a session of PostgreSQL      `places` where HAProxy is
"""
