"""Reads and writes the tables of a home: Delta tables under `<home>/lake/<feed>/<layer>`, read by DuckDB.

Belongs here: reading and writing tables, and the ledger of what was delivered and made from what. Does not belong here:
what the tables mean (`aerocast.tables`), when old months are removed (`aerocast.operations.retention`).
"""

from aerocast.lake.exactly_once import Once, Slot, Stream
from aerocast.lake.fingerprints import NO_EDGES, Edges, MonthContent
from aerocast.lake.ledger import Ledger
from aerocast.lake.reading import DELIVERY, PARTITION, LakeReader, LakeView, Rows, connection
from aerocast.lake.writing import LOG_PROPERTIES, WHOLE, Lake

__all__ = [
    "DELIVERY",
    "LOG_PROPERTIES",
    "NO_EDGES",
    "PARTITION",
    "WHOLE",
    "Edges",
    "Lake",
    "LakeReader",
    "LakeView",
    "Ledger",
    "MonthContent",
    "Once",
    "Rows",
    "Slot",
    "Stream",
    "connection",
]
