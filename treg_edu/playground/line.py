"""The line in front of the worker: first come, first served, with at most one place a visitor."""

import queue
import threading
from collections import deque
from typing import Any

from .. import checks
from .question import Question

__all__ = ["Line", "Ticket"]


class Ticket:
    """A place in the line, and later the answer.

    events: what the worker tells about it, in turn; None at the end.
    """

    def __init__(self, question: Question) -> None:
        self.question, self.events = question, queue.Queue[dict[str, Any] | None]()
        self._left = threading.Event()

    def leave(self) -> None:
        """Give up the place, or stop the answer at its next step."""
        self._left.set()

    @property
    def left(self) -> bool:
        return self._left.is_set()


class Line:
    """The tickets that wait, the one being answered first.  most: how many may wait; one more is refused with a sentence."""

    def __init__(self, most: int = 64) -> None:
        self._most, self._tickets, self._changed = checks.integer("most", most), deque[Ticket](), threading.Condition()

    def join(self, question: Question) -> Ticket:
        """A place at the end."""
        ticket = Ticket(question)
        with self._changed:
            waiting = len([each for each in self._tickets if not each.left])
            checks.expect(waiting < self._most, "line", f"{waiting} who wait", f"fewer than {self._most}: please try again in a minute")
            self._tickets.append(ticket)
            self._changed.notify_all()
        return ticket

    def place(self, ticket: Ticket) -> int:
        """How many are before it: 0 while it is answered, and after that."""
        with self._changed:
            waiting = [each for each in self._tickets if each is ticket or not each.left]
            return waiting.index(ticket) if ticket in waiting else 0

    def take(self) -> Ticket:
        """The ticket whose turn it is, waited for; those who left are passed over.  It keeps place 0 until `done`."""
        with self._changed:
            while True:
                while self._tickets and self._tickets[0].left:
                    self._tickets.popleft().events.put(None)
                if self._tickets:
                    return self._tickets[0]
                self._changed.wait()

    def done(self, ticket: Ticket) -> None:
        """The answer is complete: the next one moves up."""
        with self._changed:
            self._tickets.remove(ticket)
        ticket.events.put(None)
