"""Content that a tenant allows to be kept: masked, encrypted, shredded with its key."""
