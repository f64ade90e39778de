"""The Dagster code location: thin assets, checks and automation over `aerocast`."""
