"""AeroCast's domain: feeds, tables, forecasts, proof and releases. Imports neither dagster nor a web framework."""

__version__ = "0.1.0"
