"""What can travel: plain values, numpy arrays, registered classes, exceptions."""
