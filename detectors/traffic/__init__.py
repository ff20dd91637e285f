"""How much and how fast: bursts of requests, tokens and errors."""
