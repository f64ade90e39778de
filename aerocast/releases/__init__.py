"""Releases: the bundle that the server loads, the rows it was trained on, the forecasts it issues.

Does not belong here: whether one is promoted (`aerocast.promotion`).
"""
