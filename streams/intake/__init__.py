"""HTTP intake: events of loggers that cannot speak Kafka, to a source topic."""
