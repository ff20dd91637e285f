"""Elasticsearch: templates, the indexer, and reading the trail back."""
