"""The embedded audit store: SQLite, one writer, many read-only readers."""
