"""Verdicts where gateways ask for them: a local table, a service on loopback, adapters."""
