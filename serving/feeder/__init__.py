"""The feeder: a client that asks a server for forecasts of a feed's readings, and later says what really came.

It is no part of the server, which imports nothing from here: it reads the lake and needs the platform's libraries.
"""
