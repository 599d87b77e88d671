"""What has to agree between pyproject.toml, constraints.txt, environment.yml and the Makefile."""

import importlib.metadata
import json
import re
import shutil
import subprocess
import tomllib
import zlib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import treg_edu

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
CONDA = [line for line in ENVIRONMENT["dependencies"] if isinstance(line, str)]
(CONDA_PIP,) = [line["pip"] for line in ENVIRONMENT["dependencies"] if isinstance(line, dict)]
EXTRAS = PROJECT["optional-dependencies"]
DIRECT = {canonicalize_name(Requirement(line).name): Requirement(line) for line in sum(EXTRAS.values(), PROJECT["dependencies"])}
ASKED_FOR = ("browser", "playground", "site", "teach")
"""The extras that a target of the Makefile installs when it is called."""
ON_DEMAND = {canonicalize_name(Requirement(line).name) for extra in ASKED_FOR for line in EXTRAS[extra]}


def pins():
    """{canonical name: version} of constraints.txt, every line of which must be a plain `name==version`."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs), [pair for pair in pairs if len(pair) != 2]
    return {canonicalize_name(name): version for name, version in pairs}


def repository_files():
    """Files that are tracked, or would be if everything not ignored were added."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_conda_python_is_the_lowest_that_pyproject_allows():
    (python,) = [line for line in CONDA if line.startswith("python=")]
    version = python.split("=")[-1]
    assert SpecifierSet(PROJECT["requires-python"]) == SpecifierSet(f">={version}")
    major, minor = version.split(".")
    assert f"sys.version_info < ({major}, {minor})" in MAKEFILE


@pytest.mark.parametrize("name", sorted(ON_DEMAND))
def test_what_is_installed_on_demand_is_pinned(name):
    assert DIRECT[name].specifier.contains(pins()[name])


@pytest.mark.parametrize("name", sorted(DIRECT.keys() - ON_DEMAND))
def test_direct_dependency_is_pinned_and_installed_as_pinned(name):
    pin = pins()[name]
    assert DIRECT[name].specifier.contains(pin)
    installed = importlib.metadata.version(name)
    assert installed.split("+")[0] == pin, f"{name}: {installed} is installed, {pin} is pinned"


def test_conda_installs_what_make_installs():
    (wanted,) = re.findall(r"^EXTRAS := (.+)$", MAKEFILE, flags=re.M)
    assert set(wanted.split(",")) == set(EXTRAS) - set(ASKED_FOR)
    assert '-c constraints.txt -e ".[$(EXTRAS)]"' in MAKEFILE
    assert CONDA_PIP == ["-c constraints.txt", f"-e .[{wanted}]"]


def test_deepinv_is_installed_apart_and_as_pinned():
    pin = f"deepinv=={pins()['deepinv']}"
    command = f"--no-deps -c constraints.txt {pin}"
    assert "deepinv" not in DIRECT
    assert command in MAKEFILE
    assert command in (ROOT / "environment.yml").read_text(encoding="utf-8")


def test_everything_deepinv_needs_but_torchvision_is_a_direct_dependency():
    needed = {canonicalize_name(Requirement(line).name) for line in importlib.metadata.requires("deepinv") if "extra ==" not in line}
    assert needed - {"torchvision"} <= set(DIRECT)


def test_torchvision_is_nowhere_required():
    assert "torchvision" not in DIRECT
    assert "torchvision" not in pins()
    assert "torchvision" not in json.dumps(ENVIRONMENT)


def test_private_names_of_torch_are_not_used():
    code = [file for file in repository_files() if file.suffix in (".py", ".ipynb")]
    private = re.compile(r"\btorch(\.\w+)*\._(?!_)\w+")
    assert [f"{file.name}: {found[0]}" for file in code if (found := private.search(file.read_text(encoding="utf-8")))] == []


def test_the_version_is_written_once():
    assert "version" not in PROJECT and PROJECT["dynamic"] == ["version"]
    installed = importlib.metadata.version("treg_edu")
    assert installed == treg_edu.__version__, f"{installed} is installed, this is {treg_edu.__version__}: make install"
    assert f"## {treg_edu.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_licences_are_those_of_the_code_and_of_each_picture():
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    wanted = {"MIT"} | set(treg_edu.images.captions()["licence"])
    assert set(PROJECT["license"].split(" AND ")) == wanted
    assert set(CITATION["license"]) == wanted
    assert {"LICENSE", "data/LICENSES.md"} <= set(PROJECT["license-files"])
    assert all(list(ROOT.glob(pattern)) for pattern in PROJECT["license-files"])


def test_the_citation_is_one_of_the_project_and_of_the_paper():
    assert CITATION["cff-version"] == "1.2.0" and CITATION["title"].startswith("treg_edu") and CITATION["message"]
    assert CITATION["authors"] == PROJECT["authors"]
    (paper,) = CITATION["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Kim", "Park", "Chung", "Ye"]


def test_what_a_wheel_carries_stays_small():
    carried = [file for file in repository_files() if file.relative_to(ROOT).parts[0] in ("data", "notebooks")]
    compressed = sum(len(zlib.compress(file.read_bytes())) for file in carried)  # as in a wheel
    assert compressed <= 95e6  # PyPI takes files of 100 MB
    assert f"({round(compressed / 1e6, -1):.0f} MB)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_workflow_calls_what_ci_calls_on_three_systems_and_two_pythons():
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]["test"]
    systems, pythons = job["strategy"]["matrix"]["os"], job["strategy"]["matrix"]["python"]
    assert [system.split("-")[0] for system in systems] == ["ubuntu", "macos", "windows"]
    assert pythons[0] == PROJECT["requires-python"].removeprefix(">=") and len(pythons) == 2
    commands = " ".join(step.get("run", "") for step in job["steps"])
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.M))
    called = {word for line in re.findall(r"\bmake ([a-z -]+)", commands) for word in line.split()}
    assert {"demo", "lint", "types", "test", "test-wheel"} <= called <= targets
    assert f"torch=={pins()['torch']}" in commands


def test_the_container_is_of_the_pinned_versions_and_not_of_root():
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert f"torch=={pins()['torch']}" in "\n".join(lines) and any("-c /src/constraints.txt" in line for line in lines)
    user, command = (max(n for n, line in enumerate(lines) if line.startswith(word)) for word in ("USER", "CMD"))
    assert lines[user] == "USER 10001:10001" and user < command and not any(line.startswith("RUN") for line in lines[user:])
    name, *arguments = json.loads(lines[command].removeprefix("CMD "))
    assert name in PROJECT["scripts"] and arguments[0] == "playground"
    (base,) = (line for line in lines if line.startswith("FROM"))
    assert SpecifierSet(PROJECT["requires-python"]).contains(re.search(r"python:([\d.]+)", base)[1])


def test_no_file_is_a_pickle():
    """Weights are safetensors: opening a pickle runs whatever code is in it."""
    suffixes = {".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"}

    def is_pickle(path):
        with path.open("rb") as file:
            head = file.read(256)
        # Protocol 2 and later open with \x80 and the protocol; torch.save writes a zip whose first member is data.pkl.
        return path.suffix in suffixes or re.match(rb"\x80[\x02-\x05]", head) or (b"data.pkl" in head and head[:2] == b"PK")

    assert [str(path.relative_to(ROOT)) for path in repository_files() if is_pickle(path)] == []


@pytest.mark.parametrize(
    "page", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "data/LICENSES.md", "data/prior/README.md", "notebooks/README.md"]
)
def test_every_link_of_a_page_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith("http")]
    assert local and [link for link in local if not ((ROOT / page).parent / link).exists()] == []
