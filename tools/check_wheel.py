"""Install the wheel of dist/ into an empty environment elsewhere, and use it there as a reader without a checkout would.

    python tools/check_wheel.py

Prints what it runs; the first thing that is not as it should be ends it with exit status 1.
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 95e6  # bytes, packed
OF_THE_CHECKOUT = ("PYTHONPATH", "TREG_EDU_DATA")

LIBRARY = """
import importlib.util, pathlib, sys
from PIL import Image
import treg_edu as te

home = pathlib.Path(sys.prefix).resolve()
assert home in pathlib.Path(te.__file__).resolve().parents, te.__file__
assert home in te.files.data_folder().resolve().parents, te.files.data_folder()
assert importlib.util.find_spec("accelerate") is None, "accelerate is installed, which the extra train alone should bring"
assert te.load_prior().recommended and te.load_judge()
te.images.save(te.images.example("ice cream"), "ice-cream.png")
assert Image.open("out/demo.png").convert("L").getextrema()[0] < 128, "out/demo.png is blank"
"""


def run(*command, cwd, environment):
    """Run a command in `cwd`; its output is shown."""
    print("$", *command, flush=True)
    subprocess.run(command, cwd=cwd, env=environment, check=True, stdin=subprocess.DEVNULL)


def main():
    (wheel,) = (ROOT / "dist").glob("*.whl")
    size = wheel.stat().st_size
    print(f"{wheel.name}: {size / 1e6:.1f} MB", flush=True)
    assert size <= LARGEST, f"expected at most {LARGEST / 1e6:.0f} MB"
    plain = {name: value for name, value in os.environ.items() if name not in OF_THE_CHECKOUT}
    offline = plain | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        home, elsewhere = Path(folder) / "venv", Path(folder) / "elsewhere"
        elsewhere.mkdir()
        venv.create(home, with_pip=True)
        binaries = home / ("Scripts" if os.name == "nt" else "bin")
        python, treg_edu = str(binaries / "python"), str(binaries / "treg-edu")
        extra = os.environ.get("PIP_ARGS", "").split()
        install = [python, "-m", "pip", "install", "--quiet", *extra, "-c", str(ROOT / "constraints.txt"), str(wheel)]
        run(*install, cwd=elsewhere, environment=plain)
        run(treg_edu, "demo", "--images", "2", "--seeds", "2", cwd=elsewhere, environment=offline)
        run(python, "-c", LIBRARY, cwd=elsewhere, environment=offline)
        solve = [treg_edu, "solve", "ice-cream.png", "--prompt", "ice cream", "--steps", "4", "--out", "solved"]
        run(*solve, cwd=elsewhere, environment=offline)
        assert (elsewhere / "solved" / "reconstruction-0.png").is_file()
        run(treg_edu, "course", "course", "--solutions", cwd=elsewhere, environment=offline)
        notebooks = ROOT / "notebooks"
        shipped = {path.relative_to(notebooks) for path in notebooks.rglob("[0-9]*.ipynb") if "." not in path.parent.name}
        copied = {path.relative_to(elsewhere / "course") for path in (elsewhere / "course").rglob("*.ipynb")}
        assert copied == shipped, sorted(map(str, copied ^ shipped))
        run(treg_edu, "lab", "--version", cwd=elsewhere, environment=offline)
        run(treg_edu, "--version", cwd=elsewhere, environment=offline)
    return 0


if __name__ == "__main__":
    sys.exit(main())
