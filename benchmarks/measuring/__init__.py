"""What the benchmarks share: interleaved rounds and their spread, measured processes, tables, and a feed in memory."""
