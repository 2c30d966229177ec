"""Reliable UDP: sessions between nodes, from the bytes of a frame to the endpoint that holds all of them.

Read from the inside out: `wire`, `recovery`, `congestion`, `outbox` and `inbox`, `session`, `dialing`, `endpoint`.
Nothing here touches a socket or a clock.
"""
