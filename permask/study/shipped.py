"""The study files that come with permask."""

from pathlib import Path

import yaml

import permask


def find_study(reference: Path) -> Path:
    """The file that a path names, or the study that comes with permask under that name."""
    shipped = {path.stem: path for path in _folder().glob("*.yaml")}.get(str(reference))
    return shipped if shipped and not reference.exists() else reference


def shipped_study(name: str) -> Path:
    """The file of a study that comes with permask."""
    return _folder() / f"{name}.yaml"


def shipped_studies() -> list[tuple[Path, str]]:
    """Every study file and what it says it is for."""
    return [
        (path, yaml.safe_load(path.read_text(encoding="utf-8"))["description"])
        for path in sorted(_folder().glob("*.yaml"))
    ]


def _folder() -> Path:
    """Inside an installed package, or beside the package in a source checkout."""
    package = Path(permask.__file__).parent
    installed = package / "studies"
    return installed if installed.exists() else package.parent / "studies"
