"""What single clients' queries look like together: evasion and extraction."""
