"""How this node notices what other programs do to its exported files."""
