"""Rules as code: which findings make an incident, how it grows, and what people are told."""
