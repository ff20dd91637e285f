"""Pure detection with NumPy and River: no I/O, no clock, no torch."""
