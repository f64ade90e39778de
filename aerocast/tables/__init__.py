"""Tables of readings, month by month: each layer is made of the one above it.

Belongs here: what a layer is made of (`layers`), and the one loop that makes its stale months (`layer`). Does not
belong here: how rows are computed, how tables are stored (`aerocast.lake`), what Dagster shows of them.
"""
