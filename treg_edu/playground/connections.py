"""The websocket between a page and its process, bounded: a stranger's message cannot hold up the server of all."""

from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.web import HTTPError

__all__ = ["MOST_PARTS", "PROTOCOL", "VisitorConnection", "is_sound"]

PROTOCOL = "v1.kernel.websocket.jupyter.org"
"""What every current page speaks. Voilà reads the older one's binary messages as if they were of this one, and counts for ever."""
MOST_PARTS = 64
"""Of a message: five, and a buffer for an upload."""


def is_sound(message: Any) -> bool:
    """Whether the head of a message of PROTOCOL, the number of its parts and where each begins, fits the message."""
    if not isinstance(message, bytes) or len(message) < 8:
        return False
    count = int.from_bytes(message[:8], "little")
    if not 6 <= count <= MOST_PARTS + 1 or len(message) < 8 * (count + 1):
        return False
    begins = [int.from_bytes(message[8 * each : 8 * each + 8], "little") for each in range(1, count + 1)]
    return begins[0] == 8 * (count + 1) and begins == sorted(begins) and begins[-1] == len(message)


class VisitorConnection(ZMQChannelsWebsocketConnection):
    """Jupyter's, for PROTOCOL alone; messages whose head is wrong are dropped before they are read."""

    async def prepare(self) -> None:
        if PROTOCOL not in self.websocket_handler.request.headers.get("Sec-WebSocket-Protocol", ""):
            raise HTTPError(400, f"expected the protocol {PROTOCOL}")
        await super().prepare()

    def handle_incoming_message(self, incoming_msg: Any) -> None:
        if is_sound(incoming_msg):
            super().handle_incoming_message(incoming_msg)
