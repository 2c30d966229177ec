"""The public face of the app: the plugin, its service, and what is on a board."""

from guthi_whiteboard.board import Board
from guthi_whiteboard.log import Operation, Stamp, from_line, to_line
from guthi_whiteboard.plugin import WhiteboardPlugin
from guthi_whiteboard.room import Room
from guthi_whiteboard.service import WHITEBOARD, Whiteboard

__all__ = [
    "WHITEBOARD",
    "Board",
    "Operation",
    "Room",
    "Stamp",
    "Whiteboard",
    "WhiteboardPlugin",
    "from_line",
    "to_line",
]
