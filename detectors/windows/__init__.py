"""Online models over per-client windows."""
