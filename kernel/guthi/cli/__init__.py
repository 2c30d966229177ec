"""The command line `guthi`, and what plugins need for commands of their own."""

from guthi.cli.client import client_config, client_options
from guthi.cli.parameters import ADDRESS, DURATION
from guthi.cli.program import main
from guthi.cli.table import print_table

__all__ = ["ADDRESS", "DURATION", "client_config", "client_options", "main", "print_table"]
