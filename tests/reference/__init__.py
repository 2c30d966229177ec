"""The pages of the docs that are made of code: the API, the configuration, the hooks. `make reference` writes them."""
