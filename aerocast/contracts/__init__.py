"""What pipeline and server exchange: manifest, published feed, latest rows, prediction log, requests, pointers, clock.

The server imports this room: msgspec, numpy and the standard library only.
"""
