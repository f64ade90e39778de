"""Doors: how readings come in that no source fetches. Each hands over batches; raw takes every batch exactly once."""
