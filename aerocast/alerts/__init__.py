"""Alerts: from what the home says to a message that a person gets, when a condition begins and when it is over.

Conditions are pure functions of facts, channels send, a dispatcher keeps what was sent. Whose facts they are is the
business of the two judges, the platform's sensor and the server. The server imports this room: no table, no model.
"""
