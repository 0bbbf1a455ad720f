"""What commands write replaces files and nothing else."""

import os
import re
import socket
import stat

import pytest

from permask.cli.output import check_writable, write_together, write_whole
from permask.errors import PermaskError


def link(path, to):
    path.symlink_to(to)
    return "this is a link"


def circle(path):
    path.symlink_to(path)
    return "this is a link"


def device(path):
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))  # as /dev/null
    return "this is a device, a pipe or a socket"


def pipe(path):
    os.mkfifo(path)
    return "this is a device, a pipe or a socket"


def listening(path):
    with socket.socket(socket.AF_UNIX) as open_socket:
        open_socket.bind(str(path))
    return "this is a device, a pipe or a socket"


def folder(path):
    path.mkdir()
    return "this is a folder"


@pytest.mark.parametrize(
    "make",
    [
        lambda path: link(path, "gone.json"),
        lambda path: link(path, "kept.json"),
        lambda path: link(path, "/dev/null"),
        *(circle, device, pipe, listening, folder),
    ],
)
def test_only_files_are_replaced(tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept.json").write_text("kept")
    path = tmp_path / "out.json"
    try:
        message = make(path)
    except PermissionError:
        pytest.skip("only root may make a device")
    before = path.lstat(), sorted(tmp_path.iterdir())
    for write in (check_writable, lambda path: write_whole(path, lambda partial: partial.write_text("new"))):
        with pytest.raises(PermaskError, match=f"out.json: expected a file to write, {re.escape(message)}"):
            write(path)
    assert (path.lstat(), sorted(tmp_path.iterdir())) == before
    assert (tmp_path / "kept.json").read_text() == "kept"


def test_two_outputs_are_two_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").symlink_to(tmp_path)
    path = tmp_path / "out.json"
    check_writable(path, None, tmp_path / "other.json")
    for other in (path, tmp_path / "here" / "out.json", tmp_path / "here" / ".." / tmp_path.name / "out.json"):
        with pytest.raises(PermaskError, match="expected a file for each output"):
            check_writable(path, other)


@pytest.mark.parametrize("name", ["n" * 5000, "a\0b", "gone/out.json"])
def test_names_that_cannot_be_are_one_clear_error(tmp_path, name):
    with pytest.raises(PermaskError, match="cannot write there"):
        check_writable(tmp_path / name)


def test_a_file_is_replaced_whole_or_stays(tmp_path):
    path = tmp_path / "out.json"
    path.write_text("old")

    def fail(partial):
        partial.write_text("half")
        raise OSError("no space left")

    with pytest.raises(PermaskError, match="no space left"):
        write_whole(path, fail)
    assert path.read_text() == "old"
    write_whole(path, lambda partial: partial.write_text("new"))
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_files_below_a_folder_are_written_with_those_that_are_told(tmp_path):
    def write(folder):
        (folder / "part").mkdir()
        for name in ("report.html", "part/report.html"):
            (folder / name).write_text(name)
        return [folder / "report.html"]

    out = tmp_path / "out"
    assert write_together(out, write) == [out / "report.html"]
    assert (out / "part" / "report.html").read_text() == "part/report.html"
    assert not list(out.glob(".partial-*"))
