"""What other nodes export, and how their trees become one."""
