"""`make test-processors`: each setting reaches `make test`, and a setting that fails is not hidden by the others."""

import shutil
import subprocess
import sys
from pathlib import Path

import processors
import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[1]
COUNTS = "=== 7 passed in 1.50s ==="


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Stands in for make: make(status) writes a `make` that notes its arguments and settings in the file it returns."""
    if sys.platform == "win32":
        pytest.skip("make test-processors needs a POSIX shell")

    def write(status):
        notes = tmp_path / "notes"
        lines = ["#!/bin/sh", f'echo "$@ $THREADS $ATEN_CPU_CAPABILITY" >> "{notes}"', f"echo '{COUNTS}'", f"exit {status}"]
        (tmp_path / "make").write_text("\n".join(lines))
        (tmp_path / "make").chmod(0o755)
        return notes

    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    return write


def test_each_instruction_set_and_each_number_of_threads_is_tried():
    settings = processors.SETTINGS.values()
    assert {setting.get("ATEN_CPU_CAPABILITY") for setting in settings} == {None, "avx2", "default"}
    assert [setting["THREADS"] for setting in settings if "ATEN_CPU_CAPABILITY" not in setting] == ["1", "2"]


def test_the_settings_reach_make_and_the_summary_has_the_counts(make, capfd):
    notes = make(0)
    assert processors.main(["native", "default"]) == 0
    assert notes.read_text(encoding="utf-8").splitlines() == ["--keep-going test 1 ", "--keep-going test 1 default"]
    native, default = capfd.readouterr().out.splitlines()[-2:]
    assert native.startswith("native (") and native.endswith("threads: 1): passed: 7 passed in 1.50s")
    assert default == "default (DEFAULT, threads: 1): passed: 7 passed in 1.50s"


def test_make_runs_in_the_checkout_without_the_callers_instruction_sets(make, tmp_path, monkeypatch):
    make(0)
    lines = ["#!/bin/sh", f'pwd > "{tmp_path}/seen"', f'echo "$ONEDNN_MAX_CPU_ISA$MKL_ENABLE_INSTRUCTIONS$MKL_CBWR" >> "{tmp_path}/seen"']
    (tmp_path / "make").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(processors, "capability", lambda environment: environment.get("ATEN_CPU_CAPABILITY", "NATIVE"))
    for name in processors.OF_INSTRUCTIONS:
        monkeypatch.setenv(name, "AVX2")
    assert processors.run("native")[1].startswith("native (NATIVE, ")
    assert (tmp_path / "seen").read_text(encoding="utf-8").splitlines() == [str(ROOT), ""]


def test_a_setting_that_fails_fails_the_whole_and_the_next_still_runs(make, capfd):
    notes = make(2)
    assert processors.main(["native", "two-threads"]) == 1
    assert len(notes.read_text(encoding="utf-8").splitlines()) == 2
    assert capfd.readouterr().out.count("FAILED: 7 passed in 1.50s") == 2


def test_a_setting_that_torch_does_not_obey_fails_without_a_run(make, monkeypatch, capfd):
    notes = make(0)
    monkeypatch.setattr(processors, "capability", lambda environment: "AVX512")
    assert processors.main(["avx2"]) == 1
    assert not notes.exists()
    assert "avx2: torch uses AVX512 on this machine, expected AVX2" in capfd.readouterr().out


def test_an_unknown_setting_is_refused(capsys):
    with pytest.raises(SystemExit) as exit:
        processors.main(["avx3"])
    assert exit.value.code == 2
    assert "setting: got avx3, expected some of native, two-threads, avx2, default" in capsys.readouterr().err


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_makefile_uses_the_number_of_threads(threads):
    command = ["make", "--dry-run", "test", f"THREADS={threads}"]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    tests, notebooks = [line for line in lines if "pytest" in line]
    assert f"OMP_NUM_THREADS={threads} " in tests and "-n 2 " in tests and "--nbval" not in tests
    assert f"OMP_NUM_THREADS={threads} " in notebooks and "-n 2 " in notebooks and "--nbval notebooks/" in notebooks
