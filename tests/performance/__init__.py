"""`make bench`: Guthi beside the bare floors and beside other libraries, measured in one run (docs/benchmarks.md)."""
