"""Trunkline: one stable line into a moving Patroni cluster."""

__version__ = "0.1.0"
