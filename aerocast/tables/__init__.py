"""Turns raw readings into tables, month by month; each layer is made from the one above it.

Belongs here: what a layer is made from (`layers`), the loop that makes its stale months (`layer`), and how its rows are
computed. Does not belong here: how tables are stored (`aerocast.lake`), what Dagster shows of them.
"""
