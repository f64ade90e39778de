"""Live forecasts beside what was measured, and whether the world has changed.

Does not belong here: what follows from it (`aerocast.retraining.policy`).
"""
