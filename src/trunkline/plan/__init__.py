"""Decisions, pure: from settings and facts to what HAProxy should be, and to why a member is in or out of a service."""
