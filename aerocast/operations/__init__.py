"""Keeps a home small: compaction, old versions, files and candidates that nothing needs."""
