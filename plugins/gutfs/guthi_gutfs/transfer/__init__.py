"""How the content of files gets from those that have it to those that want it."""
