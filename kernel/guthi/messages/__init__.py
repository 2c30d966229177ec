"""Messages between nodes: requests and their answers, casts, streams, and datagrams that may be lost."""
