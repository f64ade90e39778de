"""One module a layer; each turns a feed's declaration into the assets of that layer."""
