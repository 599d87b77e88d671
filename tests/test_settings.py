"""The search for settings: its rule, its halving, its coordinates, and that a killed search goes on to the same end."""

import inspect
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from test_all_solvers import CURVED, LINEAR, WORLD, instruments, measured, short

import treg_edu as te
from treg_edu.experiments import coordinates, search, settings, study
from treg_edu.operators import FourierMagnitude, SuperResolution
from treg_edu.solvers.common import NONLINEAR

pytestmark = pytest.mark.once

FAST = {"steps": 2, "guidance_scale": 4.0, "null_prompt": "", "every": 1, "until": 1.0, "negation": None}
VARIED = {
    "guidance_scale": ({"guidance_scale": 1.0}, {"guidance_scale": 2.0}),
    "steps": ({"steps": 1},),
}


@pytest.fixture(scope="module")
def judge():
    return te.load_judge()


@pytest.fixture
def fast(prior, monkeypatch):
    monkeypatch.setattr(prior, "recommended", {"treg": FAST, "ldps": {"steps": 2, "guidance_scale": 1.0}})
    monkeypatch.setattr(settings, "load_prior", lambda device: prior)
    monkeypatch.setitem(coordinates.COORDINATES, "treg", VARIED)
    monkeypatch.setitem(coordinates.COORDINATES, "ldps", {"steps": ({"steps": 1},)})


def seen(**figures):
    """A row a picture: each figure four numbers."""
    return pd.DataFrame({"distance": [3.0] * 4, "top1": [0.5] * 4, "misfit": [2.0] * 4, "passes": [50.0] * 4} | figures)


SLOW, QUICK, OTHER = "slow", "quick", "other"
CHEAP = {"passes": [25.0, 25.0, 20.0, 25.0]}


@pytest.mark.parametrize(
    "figures, chosen",
    [
        ({SLOW: seen(), QUICK: seen(**CHEAP)}, QUICK),  # equal: the cheaper
        ({SLOW: seen(), QUICK: seen(**CHEAP, distance=[3.1, 3.2, 3.1, 3.2])}, SLOW),  # farther in every picture
        ({SLOW: seen(), QUICK: seen(**CHEAP, distance=[2.0, 4.5, 3.5, 2.4])}, QUICK),  # not told apart: the cheaper
        ({SLOW: seen(top1=[1.0, 1.0, 1.0, 0.9]), QUICK: seen(**CHEAP, top1=[0.5, 0.5, 0.6, 0.5])}, SLOW),
        ({SLOW: seen(top1=[1.0, 0.0, 1.0, 0.5]), QUICK: seen(**CHEAP, top1=[0.0, 1.0, 0.5, 0.5])}, QUICK),
        ({SLOW: seen(), QUICK: seen(**CHEAP, misfit=[2.3] * 4)}, SLOW),  # more than a tenth above
        ({SLOW: seen(), QUICK: seen(**CHEAP, misfit=[2.1] * 4)}, QUICK),
        ({SLOW: seen(distance=[2.0, 4.0, 3.0, 3.0]), OTHER: seen(distance=[2.0, 4.0, 2.9, 3.1])}, SLOW),  # one cost, the first of equals
        ({SLOW: seen(distance=[2.0, 4.0, 3.0, 3.0]), OTHER: seen(distance=[2.1, 3.8, 3.0, 3.0])}, OTHER),  # one cost: the nearer
    ],
)
def test_the_rule(figures, chosen):
    assert search.choose(figures) == chosen


def test_seconds_choose_nothing():
    figures = {SLOW: seen(seconds=[0.1] * 4), QUICK: seen(**CHEAP, seconds=[9.0] * 4)}
    assert search.choose(figures) == QUICK


STEPS = {"step_size": tuple({"step_size": 2.0**k} for k in range(-3, 8)), "kind": ({"kind": "a"}, {"kind": "b"}, {"kind": "c"})}
BEGUN = {"step_size": 2.0, "kind": "a"}


def bowl(found):
    """The least at step size 32 and kind "c"."""
    return abs(np.log2(found["step_size"] / 32)) + 3 * (found["kind"] != "c")


def test_a_ladder_is_climbed_rung_by_rung():
    assert search.neighbours("ldps", BEGUN, STEPS["step_size"]) == [BEGUN | {"step_size": 4.0}, BEGUN | {"step_size": 1.0}]
    between, lowest = BEGUN | {"step_size": 3.0}, BEGUN | {"step_size": 0.125}
    assert [each["step_size"] for each in search.neighbours("ldps", between, STEPS["step_size"])] == [4.0, 2.0]
    assert search.neighbours("ldps", lowest, STEPS["step_size"]) == [BEGUN | {"step_size": 0.25}]
    assert search.neighbours("ldps", BEGUN, STEPS["kind"]) == [BEGUN | {"kind": "b"}, BEGUN | {"kind": "c"}]
    clamp = ({"clamp": None}, {"clamp": 0.125})
    assert search.neighbours("latent_daps", {"clamp": None}, clamp) == [{"clamp": 0.125}]


def test_a_search_ends_in_the_bowl_and_never_tries_a_setting_twice():
    calls = []
    values = search.tried("ldps", BEGUN, STEPS, lambda found: calls.append(found) or bowl(found), 20)
    names = list(values)
    assert names[0] == study.name_of(BEGUN) and len(names) == len(calls) == 20
    assert min(values, key=values.get) == study.name_of({"step_size": 32.0, "kind": "c"})
    # up to 64, one too far, then down is known; then the kinds
    assert [json.loads(name)["step_size"] for name in names[:6]] == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
    assert [json.loads(name)["kind"] for name in names[6:8]] == ["b", "c"]
    again = search.tried("ldps", BEGUN, STEPS, bowl, 20)
    assert again == values and list(search.tried("ldps", BEGUN, STEPS, bowl, 7)) == names[:7]


def test_a_search_ends_where_there_is_nothing_more_to_try():
    assert (
        len(search.tried("tikhonov", {"lam": 1.0}, {"lam": ({"lam": 1.0}, {"lam": 2.0}, {"lam": 4.0})}, lambda found: found["lam"], 50))
        == 3
    )


@pytest.mark.parametrize("solver", te.SOLVERS)
def test_every_solver_has_as_many_trials(prior, solver):
    """Where its coordinates have as many settings to try."""
    linear = "sr" in study.taken_by(solver)
    coordinates_, start = coordinates.coordinates_of(solver, linear), coordinates.start_of(solver, {}, linear)
    random = np.random.default_rng(1)
    values = search.tried(solver, start, coordinates_, lambda _: random.random(), 32)
    most = np.prod([len(candidates) for candidates in coordinates_.values()])
    assert len(values) == 32 or len(values) >= most


@pytest.mark.parametrize(("count", "expected"), [(96, 24), (48, 12), (20, 8), (2, 2)])
def test_a_trial_sees_a_quarter(count, expected):
    assert search.few(count) == expected


def test_the_front_has_what_nothing_beats():
    points = [(1.0, 3.0), (2.0, 2.0), (2.0, 2.5), (3.0, 2.0), (0.5, 4.0), (1.0, 3.0)]
    assert settings.front(points) == [True, True, False, False, True, True]


def test_every_solver_has_coordinates():
    assert [name for name in te.SOLVERS if name not in coordinates.COORDINATES] == []
    assert set(coordinates.NONLINEAR_COORDINATES) | set(coordinates.PER_STEP) <= set(coordinates.COORDINATES)


def parameters(solver):
    return inspect.signature(te.SOLVERS[solver]).parameters


@pytest.mark.parametrize(
    ("solver", "linear"), [(each, "sr" in study.taken_by(each)) for each in te.SOLVERS] + [(each, False) for each in NONLINEAR]
)
def test_every_coordinate_is_a_setting_of_its_solver(prior, solver, linear):
    """A call with it is refused nowhere; it solves nothing."""
    model, size = (prior, 64) if solver == "treg" else (WORLD, 4)  # negation needs a CLIP
    operator = SuperResolution(2) if linear else FourierMagnitude()
    y = operator.A(torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)).to(model.dtype))
    sigma = {"sigma": 0.02} if "sigma" in parameters(solver) else {}
    start = coordinates.start_of(solver, prior.recommended[solver], linear)
    for name, candidates in coordinates.coordinates_of(solver, linear).items():
        assert len(candidates) > 1 and len({study.name_of(changes) for changes in candidates}) == len(candidates), name
        for changes in candidates:
            assert changes.keys() <= start.keys(), name
            te.SOLVERS[solver](model, operator, y, "fox", **coordinates.changed(solver, start, changes), **sigma)


@pytest.mark.parametrize("solver", te.SOLVERS)
def test_rivals_are_searched_as_widely(solver):
    """In guidance, null texts and steps as TReg, and in a step size from a tenth of what was begun with to ten times."""
    own, tregs = coordinates.COORDINATES[solver], coordinates.COORDINATES["treg"]
    if solver not in coordinates.WITHOUT_TEXT:
        assert set(map(study.name_of, own["steps"])) >= set(map(study.name_of, tregs["steps"]))
    if solver != "treg" and "guidance_scale" in parameters(solver):
        assert own["null_prompt"] == tregs["null_prompt"]
        assert own["guidance_scale"] == tregs["guidance_scale"]
    if "step_size" in own:
        ladder = [each["step_size"] for each in own["step_size"]]
        ratios = {later / earlier for earlier, later in zip(ladder, ladder[1:])}
        assert ratios == {2.0} and max(ladder) / min(ladder) >= 64


def test_a_search_begins_with_what_is_recommended_or_the_authors_settings_at_25_steps(prior):
    ldps = coordinates.start_of("ldps", {}, linear=True)
    assert ldps == {"step_size": 2.0, "guidance_scale": 2.5, "null_prompt": "", "steps": 25}
    assert coordinates.start_of("ldps", {"steps": 40, "foreign": 1}, linear=True) == ldps | {"steps": 40}
    treg = coordinates.start_of("treg", prior.recommended["treg"], linear=True)
    assert prior.recommended["treg"].items() <= treg.items() and treg["lam"] == 1e-4 and treg["iterations"] == 5
    assert coordinates.start_of("treg", prior.recommended["treg"], linear=False) == treg | {"iterations": 50}


def test_twice_the_steps_are_tried_with_half_the_step_size():
    begun = {"steps": 25, "step_size": 16.0, "gluing": 2.0, "back": "adjoint"}
    assert coordinates.changed("psld", begun, {"steps": 50}) == begun | {"steps": 50, "step_size": 8.0, "gluing": 1.0}
    assert coordinates.changed("psld", begun, {"step_size": 4.0}) == begun | {"step_size": 4.0}
    chain = {"steps": 25, "step_size": 1.0}
    assert coordinates.changed("daps", chain, {"steps": 50}) == chain | {"steps": 50}  # of the Markov chain, not of the steps


def test_a_setting_at_the_edge_of_its_ladder_is_told():
    begun = coordinates.start_of("psld", {}, linear=True)
    assert coordinates.at_the_edge("psld", begun, linear=True) == []
    assert coordinates.at_the_edge("psld", begun | {"step_size": 64.0, "gluing": 0.01}, linear=True) == ["step_size", "gluing"]


@pytest.mark.parametrize("solver", te.SOLVERS)
def test_the_pixel_prior_is_for_those_that_refuse_latents(prior, solver):
    operator = study.INSTRUMENTS[study.taken_by(solver)[0]]()
    sigma = {"sigma": 0.005} if "sigma" in parameters(solver) else {}
    arguments = (prior, operator, operator.A(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))), "fox")
    if solver in coordinates.ON_PIXELS:
        with pytest.raises(te.checks.ArgumentError, match="^prior: got LatentDiffusion"):
            te.SOLVERS[solver](*arguments, **sigma)
    else:
        te.SOLVERS[solver](*arguments, **sigma)


@pytest.mark.parametrize(("solver", "name"), [("dps", ("pixel",)), ("ldps", ())])
def test_the_prior_that_a_solver_needs_is_loaded(solver, name, tmp_path, monkeypatch):
    def load(*names, device):
        assert names == name
        raise KeyboardInterrupt

    monkeypatch.setattr(settings, "load_prior", load)
    with pytest.raises(KeyboardInterrupt):
        settings.run(solver=solver, images=2, out=tmp_path)


def test_a_prior_is_told_by_its_weights():
    """One without an autoencoder as well."""
    parts = {name: torch.nn.Linear(2, 2) for name in ("unet", "text_encoder", "clip")}
    pixels = SimpleNamespace(**parts)
    first = study.fingerprint(pixels)
    assert len(first) == 12 and study.fingerprint(SimpleNamespace(**parts)) == first
    with torch.no_grad():
        parts["unet"].bias[0] += 1
    assert study.fingerprint(pixels) != first


@pytest.mark.parametrize("solver", te.SOLVERS)
def test_the_solvers_without_text_are_those_that_do_not_use_it(solver):
    operator = next(iter(instruments(solver).values()))
    y = measured(operator, 1)
    fox, none = (te.solve(solver, WORLD, operator, y, text, progress=False, **short(solver)) for text in ("fox", ""))
    assert torch.equal(fox, none) == (solver in coordinates.WITHOUT_TEXT)


@pytest.mark.parametrize("solver", te.SOLVERS)
@pytest.mark.parametrize("kind", study.INSTRUMENTS)
def test_a_solver_is_searched_on_what_it_takes(solver, kind):
    """What it refuses at the call is what the search refuses."""
    operator = CURVED.get(kind, LINEAR["sr"])
    try:
        te.SOLVERS[solver](WORLD, operator, measured(operator, 1), "fox", **short(solver))
        taken = True
    except te.checks.ArgumentError:
        taken = False
    assert taken == (kind in study.taken_by(solver))


@pytest.mark.parametrize("solver", te.SOLVERS)
def test_every_solver_is_given_the_noise_it_needs(solver, judge, tmp_path, monkeypatch):
    """What `solve` is given, and where the rows go."""
    given = {}

    def one(name, prior, operator, y, texts, *, progress, **more):
        given.update(more, texts=texts, solver=name)
        return torch.zeros(len(y), 3, 64, 64)

    monkeypatch.setattr(study, "fingerprint", lambda prior: "world")
    monkeypatch.setattr(study, "solve", one)
    begun = coordinates.start_of(solver, {}, linear=True)
    rows = study.Study(tmp_path, solver, WORLD, judge, 2, 1).rows(study.taken_by(solver)[0], begun, 2)
    assert given["solver"] == solver and given["seed"] == [0, 1000]
    assert len(set(given["texts"])) == 2 or (solver in coordinates.WITHOUT_TEXT and given["texts"] == ["", ""])
    assert ("sigma" in given) == ("sigma" in parameters(solver)) and given.get("sigma", study.SIGMA) == study.SIGMA
    assert begun.items() <= given.items() and set(rows["solver"]) == {solver}
    assert [path.name for path in tmp_path.iterdir()] == [f"settings_{solver}.rows"]


def test_a_run_that_diverged_is_graded_as_a_black_picture(judge, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "fingerprint", lambda prior: "world")
    values = {"black": 0.0, "diverged": float("nan")}
    found = {}
    for name, value in values.items():
        monkeypatch.setattr(study, "solve", lambda *_, value=value, **__: torch.full((2, 3, 64, 64), value))
        (tmp_path / name).mkdir()
        found[name] = study.Study(tmp_path / name, "ldps", WORLD, judge, 2, 1).rows("sr", {"steps": 2}, 2).drop(columns="seconds")
    assert found["diverged"].notna().all(axis=None)
    pd.testing.assert_frame_equal(found["diverged"], found["black"])


def test_passes_are_counted(fast, prior, judge, tmp_path):
    """LDPS, 3 steps without guidance: 3 passes of the U-Net and 3 back, 4 of the decoder and 3 back; a pass back counts twice."""
    of_ldps = study.Study(tmp_path, "ldps", prior, judge, 2, 1)
    rows = of_ldps.rows("sr", {"steps": 3, "guidance_scale": 1.0}, 2)
    assert rows["passes"].tolist() == [3 + 2 * 3 + 4 + 2 * 3] * 2
    # TReg, 2 guided steps, both in Γ: 4 of the U-Net; decoded and encoded twice, and decoded at the end
    of_treg = study.Study(tmp_path, "treg", prior, judge, 2, 1)
    assert of_treg.rows("sr", FAST, 2)["passes"].tolist() == [4 + 2 + 2 + 1] * 2


def test_a_killed_search_goes_on_to_the_rows_of_an_uninterrupted_one(fast, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study.common, "BATCH", 2)  # one picture a batch
    whole = settings.run(images=2, seeds=2, instruments=["sr"], out=tmp_path / "whole")
    assert "← chosen" in capsys.readouterr().out
    solve, calls = study.solve, []

    def killed(*arguments, **more):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return solve(*arguments, **more)

    monkeypatch.setattr(study, "solve", killed)
    with pytest.raises(KeyboardInterrupt):
        settings.run(images=2, seeds=2, instruments=["sr"], out=tmp_path / "killed")
    assert len(study.Store(tmp_path / "killed", "settings_treg", study.KEY).read()) == 3 * 2
    again = settings.run(images=2, seeds=2, instruments=["sr"], out=tmp_path / "killed")
    rows = {name: pd.read_parquet(tmp_path / name / "settings_treg.parquet") for name in ("whole", "killed")}
    rows = {name: each.sort_values(list(study.KEY), ignore_index=True) for name, each in rows.items()}
    pd.testing.assert_frame_equal(*(each.drop(columns="seconds") for each in rows.values()))
    assert len(calls) == 1 + len(rows["whole"]) // 2  # nothing was solved twice
    assert again["found"]["sr"]["chosen"] == whole["found"]["sr"]["chosen"]
    assert set(rows["whole"]["seed"]) == {0, 1, 1000, 1001} and set(rows["whole"]["solver"]) == {"treg"} == {again["solver"]}
    report = json.loads((tmp_path / "killed" / "settings_treg.json").read_text(encoding="utf-8"))
    table = report["found"]["sr"]["settings"]
    assert len(table) == rows["whole"]["settings"].nunique() >= 4 and any(row["front"] for row in table)
    first = rows["whole"].query("settings == @name", local_dict={"name": study.name_of(table[0]["settings"])})
    assert table[0]["distance"][0] == pytest.approx(first["distance"].mean())
    with Image.open(tmp_path / "killed" / "settings_treg.png") as picture:
        assert np.asarray(picture).std() > 10


def test_a_search_goes_on_with_the_one_file_of_an_earlier_version(fast, tmp_path, monkeypatch):
    """Which wrote all rows anew after each batch."""
    monkeypatch.setitem(coordinates.COORDINATES, "treg", {"steps": ({"steps": 1},)})
    settings.run(images=2, seeds=1, instruments=["sr"], out=tmp_path)
    file = tmp_path / "settings_treg.parquet"
    rows = pd.read_parquet(file)
    rows.iloc[:2].to_parquet(file)
    calls, solve = [], study.solve
    monkeypatch.setattr(study, "solve", lambda *arguments, **more: calls.append(1) or solve(*arguments, **more))
    settings.run(images=2, seeds=1, instruments=["sr"], out=tmp_path)
    assert len(rows) == len(pd.read_parquet(file)) == 4 and len(calls) == 1


def test_rows_of_another_prior_and_of_another_solver_are_left_alone(fast, tmp_path, monkeypatch):
    monkeypatch.setitem(coordinates.COORDINATES, "treg", {"steps": ({"steps": 1},)})
    file = tmp_path / "settings_treg.parquet"
    settings.run(images=2, seeds=1, instruments=["sr"], out=tmp_path)
    before = pd.read_parquet(file)
    monkeypatch.setattr(study, "fingerprint", lambda prior: "another")
    settings.run(images=2, seeds=1, instruments=["sr"], out=tmp_path)
    after = pd.read_parquet(file)
    assert len(after) == 2 * len(before) and set(after["prior"]) == {"another", before["prior"][0]}
    settings.run(solver="ldps", images=2, seeds=1, instruments=["sr"], out=tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(file), after)
    assert set(pd.read_parquet(tmp_path / "settings_ldps.parquet")["solver"]) == {"ldps"}
    assert {path.suffix for path in tmp_path.glob("settings_ldps.*")} == {".parquet", ".json", ".png"}


@pytest.mark.parametrize(
    ("solver", "instruments", "told"),
    [
        ("treg", ["lens"], "^instruments: got 'lens', expected"),
        ("psld", ["sr", "gamma"], "^instruments: got 'gamma', expected some of sr, blur, boxes, which psld takes"),
        ("ddrm", ["phase"], "^instruments: got 'phase', expected some of sr, blur, boxes"),
        ("treg", [], "^instruments: got none"),
        ("lens", ["sr"], "^solver: got 'lens', expected"),
    ],
)
def test_what_cannot_be_searched_is_named_before_anything_runs(solver, instruments, told, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "load_prior", None)
    with pytest.raises(ValueError, match=told):
        settings.run(solver=solver, images=2, instruments=instruments, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_all_that_a_solver_takes_is_searched_if_none_is_named():
    assert study.taken_by("treg") == study.taken_by("dps") == list(study.INSTRUMENTS) and study.taken_by("psld") == ["sr", "blur", "boxes"]
