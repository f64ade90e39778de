"""Looks at a file of readings and proposes the declaration of a feed: how it is written, what it holds, and how often.

`proposal.propose` is the way in. What is guessed is said in a comment, so that a person edits instead of writes.
"""
