"""The tools that tests are written with. `test_tour.py` shows how they are used."""

from .bystanders import Bystanders, bystanders
from .calls import Call
from .inside import assert_clean, connection_of, connections_of
from .opening import open_websocket
from .peer import READY, Network, Peer, PeerSocket, Request, scripted_peer

__all__ = [
    "READY",
    "Bystanders",
    "Call",
    "Network",
    "Peer",
    "PeerSocket",
    "Request",
    "assert_clean",
    "bystanders",
    "connection_of",
    "connections_of",
    "open_websocket",
    "scripted_peer",
]
