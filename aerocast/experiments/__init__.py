"""What people start to learn about a declaration, and what changes nothing that serves: the walk-forward backtest.

Folds, what models say in them, measures, and the table of backtests belong here. Who serves does not
(`aerocast.promotion`). In Dagster this is the asset `backtest`.
"""
