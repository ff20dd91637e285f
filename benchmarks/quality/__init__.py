"""How well the detectors do: worlds of benign and hostile clients, and what is found in them."""
