"""The files of this node: which are exported, how they are reached, noted, read and written."""
