"""`treg-edu bench` with deepinv compared too where torchvision is missing: deepinv is imported as the tests import it.

python tools/bench_with_deepinv.py [REPETITIONS]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from deepinv_reference import deepinv

from treg_edu import bench

if __name__ == "__main__":
    bench.run(*map(int, sys.argv[1:2]), deepinv=deepinv)
