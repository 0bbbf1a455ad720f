"""Places to write to that are none, that are full or that somebody else's files are at; and terminals of all kinds."""

import io
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from hostile.row import Row, check, sampled
from hostile.spoil import NO_FILES, Spoil, at, instead, replacing

ASCII = (("PYTHONUTF8", "0"), ("PYTHONIOENCODING", "ascii"), ("LC_ALL", "C"))
SMALL = 2048  # bytes that a file may have


def archive(make: Callable[[Path], object], name: str = "data.zip", root: str = "") -> Spoil:
    """A study of images in an archive or a folder, which is made."""

    def prepare(folder: Path) -> None:
        make(folder / name)
        data = f"{{name: image_folder, root: '{root or name}'}}"
        at("study.yaml", replacing("{name: digits, train: 64}", data))(folder)

    return prepare


def zipped(**files: bytes) -> Callable[[Path], object]:
    """A zip of some files."""

    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as made:
            for name, content in files.items():
                made.writestr(name, content)

    return make


def tarred(**changes: object) -> Callable[[Path], object]:
    """A tar of one member that is not what it should be."""

    def make(path: Path) -> None:
        with tarfile.open(path, "w") as made:
            member = tarfile.TarInfo("train/a/1.png")
            for name, value in changes.items():
                setattr(member, name, value)
            made.addfile(member, io.BytesIO(bytes(member.size)))

    return make


def cut(path: Path) -> None:
    """The first bytes of a zip."""
    zipped(**{"train/a/1.png": b"a" * 999})(path)
    path.write_bytes(path.read_bytes()[:90])


def encrypted(path: Path) -> None:
    """A zip whose flag says that it is encrypted."""
    zipped(**{"train/a/1.png": b"image"})(path)
    content = bytearray(path.read_bytes())
    for start, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(start) + flags] |= 1
    path.write_bytes(content)


def huge(path: Path) -> None:
    """Folders with a picture that says it has 10^10 pixels."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"0")), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    folders(path, png)


def folders(path: Path, content: bytes) -> None:
    """Folders of two classes with a file in each."""
    for split in ("train", "test"):
        for label in ("a", "b"):
            (path / split / label).mkdir(parents=True)
            (path / split / label / "1.png").write_bytes(content)


def looped(path: Path) -> None:
    """Folders in which two links lead back to the top."""
    folders(path, b"image")
    for name in ("x", "y"):
        (path / "train" / "a" / name).symlink_to(path.resolve())


RUN = "run study.yaml --out out"
UNPACKED = "expected an archive of images that can be unpacked"
ROWS = {
    f"an archive: {name}": Row(RUN, says, archive(make, *rest))
    for name, says, make, *rest in (
        ("none", "no such file or folder", lambda path: None),
        ("a text", f"{UNPACKED}: neither tar nor zip", lambda path: path.write_text("text")),
        ("empty", UNPACKED, lambda path: path.write_bytes(b"")),
        ("a pipe", "no such file or folder|a pipe", NO_FILES["a pipe"][0]),
        ("a device", "no such file or folder|a device", NO_FILES["a device"][0]),
        ("a link to itself", "no such file or folder|symbolic links", NO_FILES["a link to itself"][0]),
        ("encrypted", f"{UNPACKED}.*(encrypted|password)", encrypted),
        ("that leads out", f"{UNPACKED}.*outside", zipped(**{"../outside.txt": b"theirs"})),
        ("from the top", f"{UNPACKED}.*outside", zipped(**{"/tmp/outside.txt": b"theirs"})),
        ("cut", UNPACKED, cut),
        ("no images", "expected images|no such folder", zipped(**{"train/a/1.txt": b"", "test/a/1.txt": b""})),
        (
            "images that are none",
            "it cannot be decoded",
            zipped(**{f"{s}/{c}/1.png": b"x" for s in ("train", "test") for c in "ab"}),
        ),
        ("a name with markup", r"\[red\]", zipped(**{f"{s}/[red]/[b].png": b"x" for s in ("train", "test")})),
        ("a tar with a link out", UNPACKED, tarred(type=tarfile.SYMTYPE, linkname="../../../outside.txt"), "data.tar"),
        ("a tar with a device", UNPACKED, tarred(type=tarfile.CHRTYPE), "data.tar"),
        ("a tar that leads out", UNPACKED, tarred(name="../outside.txt"), "data.tar"),
        ("a tar that lies", UNPACKED, lambda path: path.write_bytes(b"\x1f\x8b\x08" + bytes(30)), "data.tar.gz"),
        ("huge pictures", "it cannot be decoded", huge, "data"),
        ("folders in a circle", "this link comes back to where it is", looped, "data"),
        ("a name with NUL", "embedded null|no such file|without control", lambda path: None, "data", "a\\0b"),
    )
}
ROWS |= {
    f"a text: {name}": Row(
        RUN, says, at("study.yaml", replacing("{name: digits, train: 64}", f"{{name: text, root: {root}}}"))
    )
    for name, root, says in (
        ("none", "nothing", "nothing: no such file or folder"),
        ("a device", "/dev/zero", "/dev/zero: no such file or folder|a device"),
        ("too short", "own.py", "expected|tokens"),
        ("no text", "store", "expected|decode|text"),
    )
}
ROWS |= {
    f"--out is {name}": Row(f"run study.yaml --out {place}", says, prepare)
    for name, place, says, prepare in (
        ("a file", "study.yaml", "study.yaml: cannot write results: (File exists|Not a directory)", None),
        ("below a file", "study.yaml/a", "cannot write results: Not a directory", None),
        ("a device", "/dev/null", "/dev/null: cannot write results", None),
        ("below a device", "/dev/null/a", "cannot write results: Not a directory", None),
        ("in /proc", "/proc/a", "cannot write results", None),
        (
            "a link to nothing",
            "lost",
            "lost: cannot write results: File exists",
            at("lost", lambda path: path.symlink_to("no")),
        ),
        ("a link to itself", "lost", "lost: cannot write results", at("lost", lambda path: path.symlink_to("lost"))),
        ("a long name", "a" * 5000, "cannot write results: File name too long", None),
        ("a pipe", "pipe", "pipe: cannot write results: File exists", at("pipe", os.mkfifo)),
        ("markup", "'study.yaml/[red]a[/blue]'", r"study.yaml/\[red\]a\[/blue\]: cannot write results", None),
    )
}
ROWS |= {
    f"a result is {name}": Row("report results", says, at("results/report.html", instead(make)))
    for name, make, says in (
        ("a folder", Path.mkdir, "report.html: expected a file to write, this is a folder"),
        ("a pipe", os.mkfifo, "report.html: expected a file to write, this is a device"),
        (
            "a link out",
            lambda path: path.symlink_to("../../outside.txt"),
            "report.html: expected a file to write, this is a link",
        ),
    )
}
ROWS |= {
    f"{command} without room": Row(command, "File too large|cannot write", file_size=SMALL)
    for command in ("report results --out out", "report results", "plan study.yaml --picture plan.svg")
}
ROWS |= {
    f"{command} to a full device": Row(command, "cannot write: .*No space left", stdout="/dev/full")
    for command in ("studies", "plan study.yaml", "store ls --store store", "status study.yaml --store store --json")
}
ROWS |= {
    f"{command} in ASCII": Row(command, says, prepare, code=0, environment=ASCII, writes=("out", "out/*"))
    for command, says, prepare in (
        ("studies", "digits", None),
        ("plan study.yaml --store store", "dense", None),
        ("status study.yaml --store store", "8 done", None),
        ("report results --out out", "wrote", None),
        ("compare results results", "dense", None),
        ("store ls --store store", "8 results", None),
    )
}
ROWS |= {
    f"{command} in a narrow terminal": Row(command, "", code=0, environment=(("COLUMNS", "1"),))
    for command in ("plan study.yaml", "status study.yaml --store store")
}
ROWS |= {
    "a picture of another kind": Row("plan study.yaml --picture plan.gif", "that ends in .svg or .html"),
    "a picture over a folder": Row(
        "plan study.yaml --picture store", "store: expected a file to write, this is a folder"
    ),
    "a comparison over a device": Row("compare results results --out /dev/full", "cannot write there|a device"),
    "a comparison over a folder": Row("compare results results --out store", "cannot write there|a folder"),
    "a cache that is a file": Row(
        RUN,
        "choose another place with PERMASK_CACHE",
        archive(huge, "data"),
        environment=(("PERMASK_CACHE", "study.yaml"),),
    ),
}


@pytest.mark.parametrize("row", sampled(ROWS, 5))
def test_a_row(row: Row, with_study, tmp_path) -> None:
    check(row, with_study, tmp_path)
