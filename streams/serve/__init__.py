"""Requests and answers of the model server."""
