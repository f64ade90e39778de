"""Stores the platform's data: the home (folder or object store), its documents, and files that survive a power cut.

Does not belong here: what a document, a table or a release contains. The server imports this room: msgspec and the
standard library only, except `settings` (pydantic), and obstore with the first request to an object store.
"""
