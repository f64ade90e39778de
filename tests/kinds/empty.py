"""No kind."""
