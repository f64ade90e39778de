"""Models: their kinds, how they are trained, split and calibrated, tracked and exported.

Does not belong here: which one serves (`aerocast.promotion`), how features are computed (`aerocast.features.features`).
"""
