"""Measurements in simulated worlds of hundreds and thousands of nodes: `make scale` runs them and prints a table."""
