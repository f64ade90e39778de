"""No kind either: it begins with an underscore."""
