"""Takes readings in: sources, channels, brokers; one definition of a delivered reading.

Does not belong here: what becomes of them (`aerocast.tables`).
"""
