"""The commands of `guthi fs`, by what they are for."""
