"""Where nbval finds what may differ between two runs of a notebook, from whichever directory pytest was started."""

from pathlib import Path


def pytest_configure(config):
    config.option.nbval_sanitize_with = config.option.nbval_sanitize_with or str(Path(__file__).parent / "tools" / "nbval_sanitize.cfg")
