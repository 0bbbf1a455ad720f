"""From what names a study to the checked study, its data read and decoded, with a bar for what takes long."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from permask.study.spec import Study


def open_study(reference: Path, overrides: Sequence[str], smoke: bool = False, decode: bool = True) -> "Study":
    """Check a study, and see to its data: find out their content, decode small images.

    Args:
        reference: A study file, or the name of a study that comes with permask.
        overrides: `key=value` each.
        smoke: Whether to take the study's smallest form.
        decode: Whether the images are needed.

    Raises:
        StudyError: All that is wrong with the file and the overrides.
        DataError: Files that are missing, damaged or laid out otherwise.
    """
    from rich.console import Console
    from rich.progress import Progress

    from permask.study.data import Files, decode_images, in_keys
    from permask.study.load import load_study
    from permask.study.smoke import smallest

    study = load_study(reference, overrides)
    if smoke:
        study = smallest(study)
    with Progress(console=Console(file=sys.stderr), transient=True) as bar:

        def shown(what: str) -> Callable[[int, int], None]:
            task = bar.add_task(what, total=None)
            return lambda done, total: bar.update(task, completed=done, total=total)

        if isinstance(study.data, Files):
            in_keys(study.data, shown("reading the files of the data"))
            if decode:
                decode_images(study.data, shown("decoding images"))
    return study
