"""Tamper evidence: a hash chain and a Merkle tree a log, and signed checkpoints of both."""
