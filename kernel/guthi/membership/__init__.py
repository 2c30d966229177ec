"""Who is in the network: members' records, gossip, joining, table comparison. `machine` puts it together."""
