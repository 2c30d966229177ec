"""What this node keeps of the files of others, and for how long it may be believed."""
