"""From a regular grid to a model's input: grid, windows, features, short sequences, sun and clock.

Shared by training, scoring and the server: numpy, msgspec and the standard library only.
"""
