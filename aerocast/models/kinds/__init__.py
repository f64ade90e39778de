"""Kinds of models, one file each: `<kind>.py` defines a class with its parameters, what it can do, fit, predict, graph.

A module that begins with an underscore is no kind: it is what kinds share, or their arithmetic with numpy or torch. Who
trains, judges and serves models is not here, nor how features are made. A kind of one's own is an entry point of the
group `aerocast.models` in an installed package, whose value is such a class; nothing of this project names it.
"""
