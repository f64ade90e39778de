"""Where things are kept: the home (folder or object store), its documents, and files that survive a power cut.

What is in a document, a table or a release is no matter of this package. The server imports it: msgspec and the
standard library only, but `settings` (pydantic) and what talks to an object store, which is imported when there is one.
"""
