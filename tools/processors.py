"""Run the tests and every notebook as on other processors. `make test-processors` calls it.

    python tools/processors.py [native two-threads avx2 default]

A processor without AVX-512, or without AVX2, adds the same numbers in another order; so does another number of threads. Each setting is
`make test` with other environment variables. Four settings instead of all six pairs of an instruction set and a number of threads: each
number twice, and both numbers on the native set. The exit status is 1 if a setting fails, or if torch does not obey it on this machine.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# THREADS is the Makefile's: of each of two workers. Where other instructions are meant, tests marked `once` are left out, and so are the
# solutions, which compute what their notebooks do.
NUMBERS = {"PYTEST_ADDOPTS": "-m 'not slow and not once' --ignore=notebooks/solutions"}
SETTINGS = {
    "native": {"THREADS": "1"},
    "two-threads": {"THREADS": "2"},
    "avx2": NUMBERS | {"THREADS": "2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "default": NUMBERS | {"THREADS": "1", "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"},
}
OF_INSTRUCTIONS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR")
COUNTS = re.compile(r"\d+ (passed|failed|skipped|error).* in [\d.]+s")  # pytest's last line


def capability(environment):
    """The instruction set that torch's kernels use in this environment: "DEFAULT", "AVX2", "AVX512", …"""
    command = [sys.executable, "-c", "import torch; print(torch.backends.cpu.get_cpu_capability())"]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def run(name):
    """Run `make test` under a setting, and return whether it passed and a line of summary."""
    plain = {key: value for key, value in os.environ.items() if key not in OF_INSTRUCTIONS}  # what the caller exported is not native
    environment = plain | SETTINGS[name]
    found, wanted = capability(environment), SETTINGS[name].get("ATEN_CPU_CAPABILITY")
    if wanted and found.lower() != wanted:
        return False, f"{name}: torch uses {found} on this machine, expected {wanted.upper()}"

    counts = []
    # --keep-going: the notebooks run even if a test fails.
    with subprocess.Popen(["make", "--keep-going", "test"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            counts += [match[0] for match in [COUNTS.search(line)] if match]
    passed = process.returncode == 0
    return passed, f"{name} ({found}, threads: {SETTINGS[name]['THREADS']}): {'passed' if passed else 'FAILED'}: {'; '.join(counts)}"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="*", metavar="SETTING", help=f"one of {', '.join(SETTINGS)} (default: all, in turn)")
    names = parser.parse_args(argv).settings or list(SETTINGS)
    if unknown := [name for name in names if name not in SETTINGS]:
        parser.error(f"setting: got {', '.join(unknown)}, expected some of {', '.join(SETTINGS)}")

    results = []
    for name in names:
        print(f"\n{name}: {' '.join(f'{key}={value}' for key, value in SETTINGS[name].items())}", flush=True)
        results.append(run(name))
    print("\n" + "\n".join(summary for _, summary in results))
    return 0 if all(passed for passed, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
