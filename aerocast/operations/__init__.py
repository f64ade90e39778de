"""What keeps a home small: compaction, old versions, files and candidates that nobody needs."""
