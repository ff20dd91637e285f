"""What it costs to decode a record of each format."""
