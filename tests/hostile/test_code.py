"""A user's own functions, data and networks that a study names, which fail, exit or return nonsense."""

from pathlib import Path

import pytest

from hostile.row import Row, check, sampled
from hostile.spoil import Spoil, at, replacing

RUN = "run study.yaml --out out --retries 0"
MADE = "def data():\n    x, y = torch.rand(32, 4), torch.arange(32) % 2\n"
HEAD = "import torch\nfrom torch import nn\n"


def with_data(code: str, more: str = "") -> Spoil:
    """A study of data that a function of the user's makes, whose last lines are given."""

    def prepare(folder: Path) -> None:
        (folder / "mine.py").write_text(f"{HEAD}{MADE}{code}")
        data = f"{{name: imported, factory: 'mine.py:data'{more}}}"
        at("study.yaml", replacing("{name: digits, train: 64}", data))(folder)

    return prepare


def with_network(code: str) -> Spoil:
    """A study of a network that the user's code makes."""

    def prepare(folder: Path) -> None:
        (folder / "mine.py").write_bytes((HEAD + code).encode("utf-8", "surrogateescape"))
        network = "{name: imported, factory: 'mine.py:network'}"
        at("study.yaml", replacing("{name: mlp, widths: [4]}", network))(folder)

    return prepare


def with_method(code: str, part: str = "mask: {by: 'mine.py:mask', of: B}") -> Spoil:
    """A study of a method whose mask a function of the user's makes."""

    def prepare(folder: Path) -> None:
        (folder / "mine.py").write_text(HEAD + "from permask import Mask, magnitude_mask\n" + code)
        at("study.yaml", replacing("[lth, naive]", f"[{{name: mine, {part}}}]"))(folder)

    return prepare


DATA: dict[str, tuple[str, str]] = {
    "nothing": ("    return None", "expected \\(inputs, labels\\).*; got a NoneType"),
    "a text": ("    return 'data'", "got a str"),
    "one pair": ("    return x, y", "the training set is"),
    "three": ("    return (x, y), (x, y), (x, y)", "got a tuple of 3"),
    "an error": ("    raise ValueError('[red]a[/blue] :boom:')", r"failed at mine.py:5: ValueError: \[red\]a\[/blue\]"),
    "an error with controls": ("    raise ValueError('a\\x1b[2Jb')", r"ValueError: a\\x1b\[2Jb"),
    "an error of half a character": ("    raise ValueError('\\ud800')", r"ValueError: \\ud800"),
    "an error that cannot be told": (
        "    class E(Exception):\n        def __str__(self): raise E\n    raise E",
        "failed at mine.py:7: E: ?$",
    ),
    "an exit": ("    raise SystemExit(0)", "failed at mine.py:5: SystemExit"),
    "a recursion": ("    return data()", "failed at mine.py:[45]: RecursionError"),
    "NaN": ("    return (x / 0 * 0, y), (x, y)", "input 0 holds NaN or an infinity"),
    "no inputs": ("    return (x[:0], y[:0]), (x, y)", "expected two inputs or more"),
    "inputs without features": ("    return (x[:, :0], y), (x[:, :0], y)", "expected .*got \\[32, 0\\]"),
    "a label of -1": ("    return (x, y - 1), (x, y)", "expected classes from 0 on, got -1"),
    "a label out of range": ("    return (x, y), (x, y + 1)", "test labels: expected 0 to 1"),
    "a label of billions": ("    return (x, y * 10**9), (x, y)", "expected at most .* classes"),
    "labels of half": ("    return (x, y / 2), (x, y)", "labels: expected integers"),
    "one class": ("    return (x, y * 0), (x, y * 0)", "expected at least two classes"),
    "fewer labels": ("    return (x, y[:-1]), (x, y)", "got 32 inputs and 31 labels"),
    "no batch": ("    return (x[0], y), (x, y)", "expected \\[N, ...\\]"),
    "complex inputs": ("    return (x + 1j, y), (x, y)", "expected floating-point numbers"),
    "sparse inputs": ("    return (x.to_sparse(), y), (x.to_sparse(), y)", "expected dense tensors"),
    "meta inputs": ("    return (x.to('meta'), y), (x.to('meta'), y)", "inputs"),
    "quantised inputs": (
        "    return (torch.quantize_per_tensor(x, 1, 0, torch.qint8), y), (x, y)",
        "dense tensors that are not quantised",
    ),
    "other inputs in the test": ("    return (x, y), (x[:, :2], y)", "expected inputs of one shape"),
    "an item that fails": (
        "    class D(torch.utils.data.Dataset):\n        def __len__(self): return 4\n"
        "        def __getitem__(self, n): raise OSError('[red]')\n    return D(), D()",
        r"failed at mine.py:7: OSError: \[red\]",
    ),
    "a length that lies": (
        "    class D(torch.utils.data.Dataset):\n        def __len__(self): return 10**15\n"
        "        def __getitem__(self, n): return x[0], y[0]\n    return D(), D()",
        "more than .* half of this machine's memory",
    ),
    "a length of text": (
        "    class D(torch.utils.data.Dataset):\n        def __len__(self): return 'a'\n    return D(), D()",
        "TypeError",
    ),
}
NETWORKS: dict[str, tuple[str, str]] = {
    "nothing": ("def network(): return None", "network"),
    "an error": ("def network():\n    raise ValueError('[red]a[/blue]')", r"failed at mine.py:4: ValueError: \[red\]"),
    "an exit": ("def network():\n    raise SystemExit(3)", "failed at mine.py:4: SystemExit: 3"),
    "an argument": ("def network(a): return nn.Linear(64, 10)", "missing 1 required positional argument"),
    "no such name": ("def net(): return nn.Linear(64, 10)", "has nothing to call that is named network; did you mean"),
    "no function": ("network = 3", "has nothing to call that is named network"),
    "a class": ("network = nn.Linear", "failed"),
    "other outputs": ("def network(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 9))", "got \\(2, 9\\)"),
    "other inputs": ("def network(): return nn.Linear(3, 10)", "it fails on images of 1×8×8 numbers: RuntimeError"),
    "no weights": ("def network(): return nn.Flatten()", r"expected a number per class .* got \(2, 64\)"),
    "no matrix": (
        "class N(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.b = nn.Parameter("
        "torch.zeros(10))\n    def forward(self, x): return x.flatten(1)[:, :10] + self.b\nnetwork = N",
        "no weights to prune",
    ),
    "an error in the forward": (
        "class N(nn.Linear):\n    def __init__(self): super().__init__(64, 10)\n"
        "    def forward(self, x): raise KeyError('[red]')\nnetwork = N",
        r"it fails on images of 1×8×8 numbers: KeyError: '\[red\]'",
    ),
    "a syntax error": ("def network(:", "cannot be imported.*SyntaxError"),
    "an error at import": ("1 / 0", "cannot be imported at line 3: ZeroDivisionError"),
    "an exit at import": ("raise SystemExit", "cannot be imported at line 3: SystemExit"),
    "NUL": ("a = '\0'", "cannot be imported.*(SyntaxError|ValueError|null)"),
    "no UTF-8": ("# \udcff\n", "mine.py (cannot be imported|has nothing to call)"),
    "a missing package": ("import nothing_of_that_name", "cannot be imported at line 3: ModuleNotFoundError"),
}
METHODS: dict[str, tuple[str, str]] = {
    "other arguments": (
        "def mask(network): pass",
        "that takes network, batches, sparsity and seed",
    ),
    "no such file": ("", "has nothing to call that is named mask"),
    "a class": ("class mask: pass", "expected a function that takes"),
}
# what only a run can tell: it says so and keeps the rest
FAILING: dict[str, tuple[str, str]] = {
    "an error": ("raise ValueError('[red]a[/blue]')", r"failed at mine.py:5: ValueError: \[red\]a\[/blue\]"),
    "an exit": ("raise SystemExit(0)", "failed at mine.py:5: SystemExit: 0"),
    "nothing": ("return None", "returned a NoneType, expected a permask.Mask"),
    "too much": ("return magnitude_mask(network, 0.1)", "weights to be kept, got"),
}
ROWS = {f"data: {name}": Row(RUN, says, with_data(code)) for name, (code, says) in DATA.items()}
ROWS |= {f"a network: {name}": Row(RUN, says, with_network(code)) for name, (code, says) in NETWORKS.items()}
ROWS |= {f"a method: {name}": Row(RUN, says, with_method(code)) for name, (code, says) in METHODS.items()}
ROWS |= {
    f"a mask: {name}": Row(
        RUN,
        says,
        with_method(f"def mask(network, batches, sparsity, seed):\n    {code}\n"),
        code=1,
        writes=("out", "out/*", "store/*", "store/*/*", "store/*/*/*"),
    )
    for name, (code, says) in FAILING.items()
}
ROWS["content that is other"] = Row(
    RUN, "the study expects", with_data("    return (x, y), (x, y)", ", content: 'a-b'")
)


@pytest.mark.parametrize("row", sampled(ROWS, 4))
def test_a_row(row: Row, with_study, tmp_path) -> None:
    check(row, with_study, tmp_path)
