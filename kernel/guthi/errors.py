"""Every error that Guthi raises, in one tree: misuse, a broken peer and a broken network are told apart."""

from __future__ import annotations

__all__ = [
    "AddressUnavailable",
    "ConfigError",
    "DeadlineExceeded",
    "GuthiError",
    "JoinFailed",
    "MalformedMessage",
    "NodeClosed",
    "NotEncodable",
    "PeerBreach",
    "PeerLost",
    "PluginError",
    "RemoteError",
    "StreamEnded",
    "UnknownMember",
    "UnknownTopic",
    "UsageError",
]


class GuthiError(Exception):
    """Root of all errors that Guthi raises on purpose."""


class UsageError(GuthiError):
    """The caller asked for something that cannot be; the message says what would be good."""


class ConfigError(UsageError):
    """The configuration cannot be used: an unknown key, a wrong type, an unsafe combination."""


class PluginError(ConfigError):
    """A plugin is unknown, misses a provider, or does not fit the kernel."""


class NotEncodable(UsageError, TypeError):
    """A value has no CBOR form; register its class or send something simpler."""


class UnknownMember(UsageError, LookupError):
    """No member of the network has that name or id."""


class AddressUnavailable(GuthiError):
    """The listen address cannot be bound, most often because another process has the port."""


class JoinFailed(GuthiError):
    """None of the `join` addresses answered in time."""


class NodeClosed(GuthiError):
    """The node was closed while, or before, the operation ran."""


class PeerLost(GuthiError):
    """A peer cannot be reached any more.

    `peer` is the name or id of the node that was lost, `reason` why it is considered so.
    """

    def __init__(self, peer: str, reason: str) -> None:
        super().__init__(f"lost {peer}: {reason}")
        self.peer = peer
        self.reason = reason


class DeadlineExceeded(GuthiError, TimeoutError):
    """No answer came before the deadline that the caller set."""


class RemoteError(GuthiError):
    """A remote handler failed with an exception whose class is not known here.

    `class_name` is the remote class; the message has the remote text, a note has the remote traceback.
    """

    def __init__(self, class_name: str, message: str) -> None:
        super().__init__(f"{class_name}: {message}" if message else class_name)
        self.class_name = class_name


class StreamEnded(GuthiError):
    """The handler at the other end of a stream has returned, or its opener is gone: no more values are taken."""


class UnknownTopic(GuthiError, LookupError):
    """The peer has no handler for the topic of a request; it does not run the plugin that was asked for."""


class PeerBreach(GuthiError):
    """A peer broke the protocol."""


class MalformedMessage(PeerBreach):
    """Bytes from a peer could not be decoded within the bounds."""
