"""Data that pipeline and server exchange: manifest, published feed, latest rows, prediction log, requests, pointers.

The server imports this room: msgspec, numpy and the standard library only.
"""
