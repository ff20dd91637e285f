"""From findings to what people and gateways act on: alerts and verdicts."""
