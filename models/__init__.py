"""torch and only torch: encoders, batching, registry, signing."""
