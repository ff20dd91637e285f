"""Kibana content, made from one specification."""
