"""What a node does for others with the files that it exports."""
