"""Who is who and what is sealed: node identities, cluster keys, the Noise handshake, cluster datagrams."""
