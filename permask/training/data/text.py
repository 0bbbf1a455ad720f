"""Text as sequences of tokens, each to be predicted from those before it: characters, or bytes."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch

from permask.errors import DataError
from permask.training.data.dataset import Data
from permask.training.data.resident import Resident
from permask.training.data.text_files import TextFiles
from permask.training.streams import stream

Level = Literal["character", "byte"]

BYTES = 256
UNKNOWN = 0  # the token of every character that is not in the training text


def load_text(
    *,
    root: str = "",
    files: str,
    content: str,
    context: int,
    level: Level,
    train_size: int,
    test_size: int,
    validation: int,
    split_seed: int,
) -> Data:
    """Cut a text into sequences that do not overlap, and take some of them, chosen at random, for each split.

    Every sequence has one token more than the context: inputs are all but the last, labels all but the first. The
    vocabulary is that of the training sequences, and one token for all characters that are not in them; of bytes, it
    is all bytes.

    Args:
        root: As of `TextFiles.read`; `files` is its pattern.
        files: Likewise.
        content: What `TextFiles.content` has to be.
        context: Tokens of an input.
        level: What a token is.
        train_size: Training sequences.
        test_size: Test sequences.
        validation: Sequences besides those for training, to evaluate on in place of the test set.
        split_seed: Seed of the choice.

    Raises:
        DataError: Files that are missing or other ones than `content` says, or too little text.
    """
    found = TextFiles.read(root, files)
    if found.content != content:
        where = root or "Python's library"
        raise DataError(f"{where}: its content is {found.content[:12]}…, the study expects {content[:12]}…")
    codes = _codes(found.contents, level)
    count, wanted = len(codes) // (context + 1), train_size + validation + test_size
    if wanted > count:
        raise DataError(
            f"{root or 'the text'}: expected text for {wanted} sequences of {context + 1} tokens, which train_size, "
            f"test_size and validation ask for; it has {count}"
        )
    order = torch.randperm(count, generator=stream(split_seed, "split")).numpy()
    first, held_out = order[:train_size], order[train_size : train_size + validation]
    sequences = codes[: count * (context + 1)].reshape(count, context + 1)
    train, judged = sequences[first], sequences[held_out if validation else order[-test_size:]]
    vocabulary = None if level == "byte" else np.unique(train)
    classes = BYTES if vocabulary is None else len(vocabulary) + 1
    return Data(_split(train, vocabulary), _split(judged, vocabulary), classes)


def _split(sequences: np.ndarray, vocabulary: np.ndarray | None) -> Resident:
    tokens = sequences
    if vocabulary is not None:
        place = np.searchsorted(vocabulary, sequences).clip(max=len(vocabulary) - 1)
        tokens = np.where(vocabulary[place] == sequences, place + 1, UNKNOWN)
    tokens_NT = torch.from_numpy(tokens.astype(np.int64))
    return Resident(tokens_NT[:, :-1].contiguous(), tokens_NT[:, 1:].contiguous())


def _codes(contents: Mapping[str, bytes], level: Level) -> np.ndarray:
    """All files one after another: the code points of their characters, or their bytes."""
    if level == "byte":
        return np.frombuffer(b"".join(contents.values()), np.uint8)
    return np.concatenate([_code_points(name, content) for name, content in contents.items()])


def _code_points(name: str, content: bytes) -> np.ndarray:
    try:
        return np.frombuffer(content.decode().encode("utf-32-le"), np.uint32)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: expected text in UTF-8: {error}; choose the files by data.files, or take data.level=byte"
        ) from error
