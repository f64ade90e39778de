"""The declaration of a feed: its typed model, rules and JSON schema, and what source kinds and model kinds declare.

Does not belong here: what is done with a declaration, and the kinds themselves (`aerocast.ingest.sources`,
`aerocast.models.kinds`), which a registry finds by name.
"""
