"""How readings come in: sources, doors, brokers; one definition of a delivered reading.

Does not belong here: what becomes of them (`aerocast.tables`).
"""
