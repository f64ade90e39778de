"""From the server's prediction log to evidence: intake, outcomes, rolling metrics, history and the watch over drift.

Everything here is repeatable: a run that was killed is run again, and what it had done is not done twice.
"""
