"""What Prometheus may ask of a role: names in one place, served on loopback."""
