"""What every room may use and what knows none of them: errors, SQL text, units, months, times.

The server imports this package, but `units` (pint, imported with the first conversion): the standard library only.
"""
