"""One file per role: what each process of the watch does with a chunk of records."""
