"""The commands behind the Makefile, one module each, and what they share."""
