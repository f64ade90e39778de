"""What is unlike a station's own past, as events: how surprising each step is, which columns did it, and why.

Everything here is causal: what is said of a step rests on that step and those before it. Does not belong here: whether
the world has changed for good (`aerocast.monitoring.drift`).
"""
