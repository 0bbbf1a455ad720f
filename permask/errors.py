"""What can go wrong, in the few kinds a caller may want to tell apart, and what is said of errors of other code."""

import sysconfig
from os import sep
from pathlib import Path
from traceback import extract_tb

# of installed packages, of Python itself, and of permask
LIBRARIES = tuple(
    f"{place}{sep}" for place in (*map(sysconfig.get_path, ("purelib", "platlib", "stdlib")), Path(__file__).parent)
)


class PermaskError(Exception):
    """The base class of every error that permask raises on purpose.

    The message says what was expected, what was found, and what to do.
    """


class NetworkError(PermaskError):
    """A network cannot be captured, or does not fit a symmetry, mask or permutation."""


class RuleError(PermaskError):
    """The rule of an op fails, because it has a mistake or was not written for such a call."""


class StudyError(PermaskError):
    """A study file, or an override of one of its options, does not describe a study."""


class StoreError(PermaskError):
    """A store cannot be read or written."""


class DataError(PermaskError):
    """A data set is missing, damaged or not laid out as expected, or inputs have a form that permask does not take."""


def summary(error: BaseException) -> str:
    """An error's kind and the first line of what it says."""
    try:
        first = next(iter(str(error).strip().splitlines()), "")
    except Exception:  # an error of other people's code may fail to say anything
        first = ""
    return f"{type(error).__name__}: {first}"


def place_of(error: BaseException) -> str:
    """` at FILE:LINE`, the last line of other people's code that an error passed; empty if it passed none."""
    lines = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith((*LIBRARIES, "<"))]
    return f" at {Path(lines[-1].filename).name}:{lines[-1].lineno}" if lines else ""
