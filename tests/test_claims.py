"""What the course concludes is also a threshold: in a notebook a cell of plain asserts, tagged `claim`; for README and card, a test."""

import ast
import json
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
EVALUATION = json.loads((ROOT / "data/prior/evaluation.json").read_text(encoding="utf-8"))
CARD = ROOT / "data/prior/README.md"
README = ROOT / "README.md"


def stored(tree):
    """The names that a cell gives values to, those of functions included, those of imports not."""
    nodes = list(ast.walk(tree))
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return names | {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def loaded(tree):
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def behind(names, tree):
    """`names`, and all that the assignments and loops of a claim cell take their values from."""
    found = set(names)
    while True:
        more = set()
        for node in ast.walk(tree):
            if isinstance(node, (ast.Assign, ast.For, ast.FunctionDef)) and stored(node) & found:
                more |= loaded(node)
        if more <= found:
            return found
        found |= more


def faults(cells):
    """What is wrong with the claims among the cells of a notebook, [(tags, source), …]; an empty list if they can fail as they should."""
    wrong, computed, claims = [], set(), 0
    for tags, source in cells:
        if "claim" not in tags:
            computed |= stored(ast.parse(source))
            continue
        claims += 1
        tree = ast.parse(source)
        asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
        if not asserts:
            wrong.append(f"a claim without an assert: {source}")
        if "print" in loaded(tree) or any(isinstance(node, ast.Try) for node in ast.walk(tree)):
            wrong.append(f"a claim neither prints nor catches: {source}")
        for node in asserts:
            line = ast.unparse(node)
            if not behind(loaded(node.test), tree) & computed:
                wrong.append(f"names no value of an earlier cell: {line}")
            if any(isinstance(part, ast.BoolOp) and isinstance(part.op, ast.Or) for part in ast.walk(node.test)):
                wrong.append(f"an alternative: {line}")
            if isinstance(node.test, (ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.JoinedStr)):
                wrong.append(f"always true: {line}")
            for part in ast.walk(node.test):
                sides = [ast.dump(each) for each in (part.left, *part.comparators)] if isinstance(part, ast.Compare) else []
                if len(set(sides)) < len(sides):
                    wrong.append(f"compared with itself: {line}")
    return wrong if claims else ["no claims"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebooks_claims_can_fail(path):
    cells = [(cell.metadata.get("tags", []), cell.source) for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert faults(cells) == []


@pytest.mark.parametrize(
    "claim, fault",
    [
        ("assert x > 1", None),
        ("y = 2 * x\nfor each in y:\n    assert each > 1", None),
        ("y = 2", "a claim without an assert"),
        ("assert True", "names no value"),
        ("y = 2\nassert y > 1", "names no value"),
        ("assert (x > 1, 'always')", "always true"),
        ("assert x > 1 or x < 2", "an alternative"),
        ("assert x == x", "compared with itself"),
        ("print(x)\nassert x > 1", "neither prints nor catches"),
    ],
)
def test_a_claim_that_cannot_fail_is_found(claim, fault):
    wrong = faults([([], "x = 3"), (["claim"], claim)])
    assert not wrong if fault is None else any(fault in each for each in wrong)


def test_a_notebook_without_claims_is_found():
    assert faults([([], "x = 3")]) == ["no claims"]


def percent(share):
    return f"{100 * share:.1f} %"


def both(name):
    return f"| {percent(EVALUATION[name]['top1'])} / {percent(EVALUATION[name]['top5'])} |"


@pytest.mark.parametrize(
    "path, sentence",
    [
        (CARD, f"mean PSNR of the held-out pictures | {EVALUATION['vae']['psnr']:.2f} dB |"),
        (CARD, f"CLIP, image → label of 291, top-1 / top-5 {both('clip')}"),
        (CARD, f"judge, image → label of 291, top-1 / top-5 {both('judge')}"),
        (CARD, f"the same without the fluent styles {both('clip, no sibling')}"),
        (CARD, f"the same without the fluent styles {both('judge, no sibling')}"),
        (CARD, f"samples, judge's top-1 / top-5 {both('samples')}"),
        (CARD, f"the same samples in {EVALUATION['samples, few steps']['steps']} steps {both('samples, few steps')}"),
        (CARD, f"one sample of each of {EVALUATION['paraphrases']['texts']} paraphrases, judge's top-1 / top-5 {both('paraphrases')}"),
        (README, f"{percent(EVALUATION['samples']['top1'])} of {EVALUATION['samples']['prompts']} unselected samples correctly"),
        (README, f"It names {percent(EVALUATION['judge']['top1'])} of the real held-out pictures"),
        (README, f"The prior's own CLIP names {percent(EVALUATION['clip']['top1'])}"),
    ],
)
def test_what_is_told_of_the_prior_was_measured(path, sentence):
    assert " ".join(sentence.split()) in " ".join(path.read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    "row, reached",
    [
        ("autoencoder, mean PSNR", EVALUATION["vae"]["psnr"] >= 33),
        ("CLIP, image → label of 291", EVALUATION["clip"]["top1"] >= 0.75 and EVALUATION["clip"]["top5"] >= 0.92),
        ("judge, image → label of 291", EVALUATION["judge"]["top1"] >= 0.80 and EVALUATION["judge"]["top5"] >= 0.85),
        ("samples, judge's top-1 / top-5", EVALUATION["samples"]["top1"] >= 0.80 and EVALUATION["samples"]["top5"] >= 0.95),
        ("the same samples in 20 steps", EVALUATION["samples"]["top1"] - EVALUATION["samples, few steps"]["top1"] <= 0.05),
        ("one sample of each of 65 paraphrases", EVALUATION["paraphrases"]["top5"] >= 0.50),
    ],
)
def test_the_card_marks_what_is_missed_and_nothing_else(row, reached):
    (line,) = [line for line in CARD.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {row}")]
    assert ("**missed**" in line) != reached


def test_samples_are_named_more_often_than_held_out_pictures():
    """The README and the card say so, and why."""
    assert EVALUATION["samples"]["top1"] > EVALUATION["judge"]["top1"] > EVALUATION["judge, no sibling"]["top1"]
