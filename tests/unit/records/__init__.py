"""Tests of the reading of Kafka's record batches."""
