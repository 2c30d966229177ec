"""The real machine that a node lives on: sockets, processes, the local network."""
