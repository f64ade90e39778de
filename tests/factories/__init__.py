"""What builds the inputs of tests: declarations, readings, tables, releases, prediction logs, requests."""
