"""Turns a regular grid into a model's input: windows, features, short sequences, sun and clock.

Shared by training, scoring and the server: numpy, msgspec and the standard library only.
"""
