"""One folder a feed; a new feed is a new folder with a `defs.yaml`."""
