"""Other ways to use the tree than the service."""
