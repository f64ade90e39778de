"""What a delivery of readings looks like, whichever way it comes: raw's rows, and the CSV files that hold readings.

Sources and channels both build on this room; how a delivery is fetched or taken in is their business.
"""
