"""The feeder: a client that asks a server for forecasts of a feed's readings, and later says what really came.

The server imports nothing from here: the feeder reads the lake and needs the libraries of the platform. It imports the
server's settings and schemas.
"""
