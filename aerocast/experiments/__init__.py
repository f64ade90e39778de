"""What people start to learn about a declaration, and what changes nothing that serves: backtests and tuning.

Folds, what models say in them, measures, the table of backtests and studies of parameters belong here. Who serves does
not (`aerocast.promotion`). In Dagster these are the assets `backtest` and `tuning`.
"""
