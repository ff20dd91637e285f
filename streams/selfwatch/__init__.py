"""The watch over the watch: lag, dead letters, blindness, clocks, sinks, and a heartbeat."""
