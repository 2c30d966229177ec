"""What becomes of versions of a file that knew not of each other."""
