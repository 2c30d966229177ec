"""The figures of the docs that take minutes: `make figures` measures them again and draws them."""
