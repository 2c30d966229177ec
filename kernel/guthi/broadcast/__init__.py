"""Reliable broadcast: a message from one node to all, directly or along an epidemic broadcast tree."""
