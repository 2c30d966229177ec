"""What joins the machines of a node to one another and to its event loop, and carries out what they ask for.

`network` holds all of it and is what the rest of the kernel uses. `driver` moves the datagrams, `receiving` and
`consequences` do what the endpoint and the membership decide, and each of the others does one errand between nodes.
"""
