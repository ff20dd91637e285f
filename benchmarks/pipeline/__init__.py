"""Speed, latency and memory of the pipeline, measured with a real broker on this machine."""
