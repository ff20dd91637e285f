"""Attacks from the literature, one a file, written to succeed if nobody stops them."""
