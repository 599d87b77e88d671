"""What `tools/fuzz.py` runs in its children: `treg-edu`, with everything imported, and with stand-ins for what takes minutes."""

import gc
import itertools
import subprocess
import sys
from collections.abc import Callable

import torch
import typer
from fuzz_cases import Case

import treg_edu as te
from treg_edu import bench, cli, files, images
from treg_edu import judge as judges
from treg_edu.experiments import common, quick, runner
from treg_edu.playground import server
from treg_edu.training import evaluate, loop, recipes

MOST_STEPS = 2


def warm() -> Callable[[Case], None]:
    """What runs a case in this process."""
    torch.set_num_threads(1)
    prior, judge = te.load_prior(), judges.load_judge()
    remember_labels(judge)
    load_prior, load_judge, solve = te.load_prior, judges.load_judge, te.solve
    settings = {"name": None, "device": "cpu", "dtype": torch.float32, "clip": None}
    case = Case([])

    def prior_held(name=None, **more):
        held = not case.live and settings | {"name": name} | more == settings
        return prior if held else load_prior(name, **more)

    def judge_held(folder=None, device="cpu"):
        held = not case.live and folder is None and str(device) == "cpu"
        return judge if held else load_judge(folder, device)

    def briefly(solver, *arguments, progress=True, **settings):
        """`te.solve`, up to MOST_STEPS timesteps; a longer run ends there.  Nothing but its checks if the case does not ask for more."""
        walk = te.SOLVERS.get(solver, solver)(*arguments, **settings)
        if not case.solves:
            return torch.full((len(arguments[2]), 3, *te.operators.image_shape(arguments[1], arguments[2], prior.size)), 0.5)
        steps = list(itertools.islice(walk, MOST_STEPS))
        if settings["steps"] > len(steps):
            enough()
        return steps[-1].x_hat

    once(prior, judge)
    for function, by in {load_prior: prior_held, load_judge: judge_held, solve: briefly}.items():
        replace(function, by)
    for begins in (common.solve_arms, runner.solve, loop.fit, bench.run, evaluate.run, server.run):
        replace(begins, enough)
    subprocess.call = lambda *_, **__: 0  # JupyterLab, of `treg-edu lab`
    program = typer.main.get_command(cli.app)

    def run(given):
        nonlocal case
        case = given
        program.main(case.argv, prog_name="treg-edu")

    gc.collect()
    gc.freeze()  # so that a child does not copy what it never uses
    return run


def enough(*_, **__):
    """Stands in for a computation of minutes: all that is checked before it has been."""
    sys.exit(0)


def remember_labels(judge) -> None:
    """The features of the corpus' labels, which every grading asks for."""
    embed, held = judge.embed_labels, {}

    def embed_labels(texts):
        key = (texts,) if isinstance(texts, str) else tuple(texts)
        if len(key) < 100:
            return embed(texts)
        if key not in held:
            held[key] = embed(texts)
        return held[key]

    judge.embed_labels = embed_labels


def replace(function, by) -> None:
    """Under every name that a module of the library has for it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("treg_edu"):
            for attribute, value in list(vars(module).items()):
                if value is function:
                    setattr(module, attribute, by)


def once(prior, judge) -> None:
    """What the first solve and the first grading import and remember."""
    import accelerate  # noqa: F401
    import pandas  # noqa: F401

    from treg_edu import figures  # noqa: F401

    x = images.example("fox")
    operator = te.operators.SuperResolution(16)
    y = operator.A(x)
    settings = prior.recommended["treg"] | {"steps": 1}
    x_hat = list(te.treg(prior, operator, y, "fox", **settings))[-1].x_hat
    te.metrics.psnr(x_hat, x), te.metrics.ssim(x_hat, x)
    te.metrics.top_k(judge, x_hat, sorted(set(images.captions()["label"])))
    quick.claims, recipes.RECOMMENDED, files.data_folder()
