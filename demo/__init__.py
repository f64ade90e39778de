"""The demonstration: the whole loop as a story, with real processes on simulated time (`aerocast demo`)."""
