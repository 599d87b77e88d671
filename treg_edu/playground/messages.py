"""What the processes say to each other: JSON over a local socket, of bounded length, and never a pickle."""

import json
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Client, Connection
from typing import Any

from .question import Question

__all__ = ["ADDRESS", "MOST_MESSAGE", "ask", "send"]

ADDRESS = "TREG_EDU_PLAYGROUND"
"""The environment variable that tells a visitor's process where the worker listens."""
MOST_MESSAGE = 2**20
"""Bytes of a message: a question with a picture of one's own has 30 000 at most, an event of four seeds twice as many."""
TICK = 0.1
"""Seconds between two looks at whether the visitor has cancelled."""
PATIENCE = 60.0
"""Seconds that the worker may take to be reached, as after its own restart."""


def send(connection: Connection, event: dict[str, Any]) -> None:
    """One event, as JSON."""
    connection.send_bytes(json.dumps(event).encode())


def ask(address: str, question: Question, cancelled: Callable[[], bool] = lambda: False) -> Iterator[dict[str, Any]]:
    """Every event that the worker tells of a question, as it comes; none after `cancelled()`, which frees the place in the line.

    Raises ConnectionError where the worker does not answer, or ends before its answer does.
    """
    with _reached(address, cancelled) as connection:
        connection.send_bytes(question.to_json())
        while not cancelled():
            if not connection.poll(TICK):
                continue
            try:
                event = json.loads(connection.recv_bytes(MOST_MESSAGE))
            except EOFError as error:
                raise ConnectionError("the solvers were restarted: please solve again") from error
            yield event
            if {"answer", "error"} & event.keys():
                return


def _reached(address: str, cancelled: Callable[[], bool]) -> Connection:
    """A connection to the worker, waited for while it starts."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return Client(address)
        except OSError as error:
            if cancelled() or time.monotonic() > until:
                raise ConnectionError("the solvers do not answer: please try again in a minute") from error
            time.sleep(TICK)
