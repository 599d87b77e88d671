"""How nbval compares notebooks, from whichever directory pytest was started: what may differ, and by how much a number may."""

from pathlib import Path

pytest_plugins = ["nbval_numbers"]  # of tools/, which pyproject.toml puts on pytest's path


collect_ignore = ["notebooks/playground.ipynb"]  # a page for Voilà, without an output to compare; tests/test_playground.py tests it


def pytest_configure(config):
    config.option.nbval_sanitize_with = config.option.nbval_sanitize_with or str(Path(__file__).parent / "tools" / "nbval_sanitize.cfg")
