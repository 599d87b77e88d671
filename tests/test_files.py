"""Files are written whole or not at all, and results that were computed are not lost."""

import os
import stat
import sys
import threading
from pathlib import Path

import pytest

from treg_edu import checks, files

RESULTS = ("picture-*.png", "numbers.json")


def test_a_folder_that_appears_during_the_run_gets_the_results(tmp_path):
    out = tmp_path / "out"
    with files.written_folder(out, RESULTS) as folder:
        (folder / "picture-1.png").write_text("new")
        out.mkdir()
        (out / "notes.txt").write_text("mine")
        (out / "picture-9.png").write_text("of another run")
    assert {path.name for path in out.iterdir()} == {"picture-1.png", "notes.txt"}
    assert list(tmp_path.iterdir()) == [out]


def test_results_that_cannot_be_moved_are_kept_and_named(tmp_path):
    out = tmp_path / "out"
    (out / "picture-1.png").mkdir(parents=True)
    (out / "picture-9.png").write_text("of another run")
    with pytest.raises(checks.ArgumentError) as raised, files.written_folder(out, RESULTS) as folder:
        for number in range(4):
            (folder / f"picture-{number}.png").write_text("new")
    assert str(raised.value).startswith(f"out: got {str(out)!r}, which ")
    assert str(raised.value).endswith(f"expected a folder, new or not; the results are in {folder}")
    assert {path.name for path in folder.iterdir()} == {f"picture-{number}.png" for number in range(4)}
    assert (out / "picture-9.png").read_text() == "of another run" and files.is_leftover(folder)


def test_a_file_where_the_folder_should_be_does_not_cost_the_results(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(checks.ArgumentError, match="^out: got .*; the results are in ") as raised, files.written_folder(out) as folder:
        (folder / "numbers.json").write_text("new")
        out.write_text("in the way")
    assert out.read_text() == "in the way"
    assert Path(str(raised.value).partition("; the results are in ")[2], "numbers.json").read_text() == "new"


def test_what_stops_halfway_is_named_with_both_folders(tmp_path, monkeypatch):
    out, replace, moved = tmp_path / "out", os.replace, []

    def stop_at_the_second(source, target):
        moved.append(target)
        if len(moved) == 2:
            raise PermissionError(13, "Permission denied")
        replace(source, target)

    out.mkdir()
    monkeypatch.setattr(files.os, "replace", stop_at_the_second)
    with pytest.raises(checks.ArgumentError, match="Permission denied") as raised, files.written_folder(out) as folder:
        for number in range(2):
            (folder / f"picture-{number}.png").write_text("new")
    assert str(raised.value).endswith(f"; the results are in {folder} and {out}")
    assert {path.name for path in [*folder.iterdir(), *out.iterdir()]} == {"picture-0.png", "picture-1.png", folder.name}


def test_threads_that_write_one_file_do_not_meet(tmp_path):
    path, start, failures = tmp_path / "a.txt", threading.Barrier(4), []

    def write(text):
        start.wait()
        try:
            with files.written_beside(path) as beside:
                beside.write_text(text)
                start.wait()
                failures.extend([beside.read_text()] * (beside.read_text() != text))
                start.wait()
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(str(number) * 1000,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and list(tmp_path.iterdir()) == [path]
    assert path.read_text() in [str(number) * 1000 for number in range(4)]


def test_a_file_of_the_longest_name_is_written(tmp_path):
    path = tmp_path / ("é" * 127)
    with files.written_beside(path) as beside:
        beside.write_text("whole")
        assert files.is_leftover(beside)
    assert path.read_text() == "whole"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_the_modes_are_those_of_the_umask_which_is_not_touched(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask is of the whole process"))
        with files.written_folder(tmp_path / "out") as folder:
            files.write_text(folder / "a.txt", "a")
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "out" / "a.txt").stat().st_mode) == 0o640


def test_a_drive_that_does_not_exist_is_named(monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda path: False)
    with pytest.raises(checks.ArgumentError, match="^out: got '.*', on a drive that does not exist, expected a folder"):
        files.check_writable("out", Path("drive", "out"))
