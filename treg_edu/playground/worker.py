"""The worker: one process that holds the prior and the judge, and answers the questions of all visitors, one at a time.

    python -m treg_edu.playground.worker ADDRESS        # a path for its socket, in a folder that no one else may enter

A visitor's process connects, sends a question, and reads events: {"place": …} while it waits, {"step": …} as x̂ forms, {"answer": …} or
{"error": …} at the end. A connection that breaks, because its visitor cancelled, left or died, gives up its place.
"""

import contextlib
import inspect
import queue
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection, Listener
from typing import Any

import torch

from .. import checks, images
from ..costs import counting, passes
from ..diffusion import Step
from ..judge import load_judge
from ..metrics import top_k
from ..operators import misfit
from ..priors import load_prior
from ..solvers import SOLVERS
from ..widgets.base import SIGMA, estimate
from .line import Line, Ticket
from .messages import MOST_MESSAGE, send
from .pictures import seen, text_of
from .question import Question, settings_of

__all__ = ["MOST_SECONDS", "Worker"]

MOST_SECONDS = 60.0
"""Of computing for one question."""
BETWEEN = 0.15
"""Seconds between two pictures of the same run."""
TICK = 0.1
"""Seconds between two looks at whether a visitor is still there."""


class Worker:
    """prior: a `LatentDiffusion`.  judge: of `load_judge`.  most_seconds: of computing for one question."""

    def __init__(self, prior: Any, judge: Any, most_seconds: float = MOST_SECONDS) -> None:
        self.prior, self.judge, self.most_seconds, self.line = prior, judge, most_seconds, Line()
        self.labels = sorted(set(images.captions()["label"]))

    def serve(self, address: str) -> None:
        """Take connections for ever: a thread for each of them, and one that solves."""
        threading.Thread(target=self._solve, daemon=True).start()
        with Listener(address) as listener:
            while True:
                connection = listener.accept()
                threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def answer(self, question: Question) -> Iterator[dict[str, Any]]:
        """The events of one question: {"step", "of", "x_hat", "seen", "misfit"} as the run goes on, at the end with {"answer", …}.

        x_hat, seen: PNGs of x̂ and A(x̂) of each seed, in base64.  misfit: in units of σ.  guesses: the judge's best five labels of each.
        passes: through networks, of each reconstruction.  seconds: of the whole run.  lines: Python that repeats it.
        """
        operator, y = question.operator(), question.y()
        recommended = self.prior.recommended.get(question.solver, {})
        settings = settings_of(question.solver, question.null_text, recommended)
        total = settings.get("steps", inspect.signature(SOLVERS[question.solver]).parameters["steps"].default)
        began = told = time.perf_counter()
        with counting(self.prior, operator) as (counted, counts):
            for step in SOLVERS[question.solver](self.prior, counted, y, question.text, seed=question.seed, **settings):
                seconds = time.perf_counter() - began
                expected = f"at most {self.most_seconds:.0f}: fewer seeds, or another solver, may do"
                checks.expect(seconds <= self.most_seconds, "seconds", f"{seconds:.0f}", expected)
                if step.index + 1 == total or began + seconds - told >= BETWEEN:
                    told = began + seconds
                    yield {"step": step.index + 1, "of": total} | self._shown(operator, y, step, counts)
                else:
                    yield {}
        yield {
            "answer": question.solver,
            "lines": question.lines(recommended),
            "guesses": top_k(self.judge, estimate(self.prior, step), self.labels)[0],
            "passes": passes(counts) / len(y),
            "seconds": seconds,
        }

    def _shown(self, operator: Any, y: torch.Tensor, step: Step, counts: Counter[str]) -> dict[str, Any]:
        """What is seen of a step; the decoding that only the page needs is not counted."""
        before = counts.copy()
        x_hat = estimate(self.prior, step)
        counts.clear()
        counts.update(before)
        return {
            "x_hat": [text_of(each) for each in x_hat],
            "seen": [text_of(each) for each in seen(operator, operator.A(x_hat))],
            "misfit": (misfit(operator, x_hat, y) / SIGMA).tolist(),
        }

    def _solve(self) -> None:
        """Answer one ticket after the other; an error is told to its visitor and ends nothing else."""
        while True:
            ticket = self.line.take()
            try:
                for event in self.answer(ticket.question):
                    if ticket.left:
                        break
                    if event:
                        ticket.events.put(event)
            except checks.ArgumentError as error:
                ticket.events.put({"error": str(error)})
            except Exception:
                traceback.print_exc()
                ticket.events.put({"error": "the solver failed on this question: please try another one"})
            finally:
                self.line.done(ticket)

    def _attend(self, connection: Connection) -> None:
        """One visitor: a question, the place in line as it changes, and the events of the answer."""
        ticket = None
        with connection, contextlib.suppress(OSError, EOFError):  # the visitor is gone
            try:
                ticket = self.line.join(Question.from_json(connection.recv_bytes(MOST_MESSAGE)))
                self._tell(connection, ticket)
            except checks.ArgumentError as error:
                send(connection, {"error": str(error)})
        if ticket is not None:
            ticket.leave()

    def _tell(self, connection: Connection, ticket: Ticket) -> None:
        """Events to the visitor until the last, or until the connection has anything to read: its end, as no one says more."""
        place = None
        while not connection.poll(0):
            if place != 0 and place != self.line.place(ticket):
                place = self.line.place(ticket)
                send(connection, {"place": place})
            with contextlib.suppress(queue.Empty):
                event = ticket.events.get(timeout=TICK)
                if event is None:
                    return
                send(connection, event)


def main(address: str) -> None:
    """Load what is needed, answer one question as a rehearsal, and serve."""
    worker = Worker(load_prior(), load_judge())
    for _ in worker.answer(Question("super-resolution", {"factor": 16}, "", label="fox", seeds=1)):
        pass
    worker.serve(address)


if __name__ == "__main__":
    main(sys.argv[1])
