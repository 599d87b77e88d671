"""Every solver by name, and the one way to run them to the end."""

import inspect

from .treg import treg

SOLVERS = {"treg": treg}


def solve(solver, prior, operator, y, prompt, *, progress=True, **settings):
    """Run a solver to its end, with a progress bar.

    solver: of `SOLVERS`, the function or its name.  settings: its keyword arguments.  Returns x̂, (B, 3, H, W) in [0, 1].
    """
    from tqdm.auto import tqdm

    if isinstance(solver, str):
        if solver not in SOLVERS:
            raise ValueError(f"solver: got {solver!r}, expected one of {', '.join(SOLVERS)}")
        solver = SOLVERS[solver]
    steps = settings.get("steps", inspect.signature(solver).parameters["steps"].default)
    walk = solver(prior, operator, y, prompt, **settings)
    name = getattr(solver, "__name__", "solving")  # a functools.partial has none
    for step in tqdm(walk, total=steps, disable=not progress, desc=name, unit="step", delay=0.1):  # no bar before an error
        pass
    return step.x_hat
