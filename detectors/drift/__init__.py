"""Changes of a whole model's answers."""
