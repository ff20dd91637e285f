"""Published detectors, from their papers, for comparison: one client's queries in, an alarm out."""
