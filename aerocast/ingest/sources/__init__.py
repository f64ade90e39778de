"""Where readings come from: a source kind is one module here, or an entry point `aerocast.sources` of a package.

The module has the kind's name and defines one subclass of `SourceKind`: its parameters, its functions and what it
needs. Nothing else names a kind. A module that begins with an underscore is part of the kind in its name.
"""
