"""Who serves: candidates and the incumbent are tried on the same rows, the decision is carried out and recorded.

Scores, the trial, the statistical test, the decision, the table of promotions, and what follows a decision belong here.
Training is not here, nor is when a trial is due (`retraining`). In Dagster this is the asset `champion`.
"""
