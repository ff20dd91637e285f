"""How respond stands a storm, and how large a table of verdicts may grow."""
