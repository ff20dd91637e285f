"""What no single client shows."""
