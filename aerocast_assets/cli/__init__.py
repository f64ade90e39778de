"""The commands behind the Makefile: the main job, everything up, an SQL shell."""
