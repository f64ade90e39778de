"""The commands of `aerocast`, one module each, and what they share. Domain logic and assets belong elsewhere."""
