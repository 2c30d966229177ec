"""What a user may write in TOML: checked tables, a node's configuration, a cluster's."""
