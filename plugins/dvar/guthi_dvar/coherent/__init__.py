"""The strategy `coherent`: when a write has returned, no node reads the value before it; see `strategy`."""
