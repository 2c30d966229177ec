"""What time it is in the network."""
