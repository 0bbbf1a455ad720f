"""Bars appear where somebody sees them, once a call takes long, and nowhere else."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from threading import Event, Timer
from types import ModuleType

import numpy as np
import pytest
import torch
from rich.console import Console
from rich.progress import Progress
from torch import nn

import permask
from permask import progress as bars
from permask.progress import inside, progress, silent


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TooLong:
    """A timer that has run out when it starts."""

    def __init__(self, seconds, call):
        assert seconds == 2.0
        self.call = call

    def start(self):
        self.call()

    def cancel(self): ...

    def join(self): ...


class NeverTooLong(TooLong):
    def start(self): ...


@pytest.fixture(autouse=True)
def every_call_takes_long(monkeypatch):
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "PERMASK_PROGRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(bars, "Timer", TooLong)


def shown(call, stream=Terminal):
    """What a call writes to the standard error, if that is a terminal."""
    with redirect_stderr(stream()) as written:
        call()
    return written.getvalue()


def loop():
    with progress("a long call") as watch:
        seen = [item * 2 for item in watch([1, 2, 3])]
        redraw()
    assert seen == [2, 4, 6]


def redraw():
    display = bars._AROUND.get()
    assert display is not None
    display.refresh()


def test_a_long_call_shows_a_bar_that_goes_with_it():
    written = shown(loop)
    assert "a long call" in written and "3/3" in written
    assert "\x1b[2K" in written.rpartition("a long call")[2]  # the line is erased in the end


def test_a_short_call_shows_nothing(monkeypatch):
    monkeypatch.setattr(bars, "Timer", NeverTooLong)
    assert shown(loop) == ""


def test_the_real_timer_shows_bars_while_the_call_lasts(monkeypatch):
    monkeypatch.setattr(bars, "Timer", Timer)
    monkeypatch.setattr(bars, "PATIENCE", 0.0)
    begun, start = Event(), Progress.start

    def noted(display):
        start(display)
        begun.set()

    def wait():
        with progress("a long call"):
            assert begun.wait(60)
            redraw()

    monkeypatch.setattr(Progress, "start", noted)
    assert "a long call" in shown(wait)


@pytest.mark.parametrize(
    ("name", "value"), [("PERMASK_PROGRESS", "0"), ("TERM", "dumb")], ids=["switched off", "no terminal for bars"]
)
def test_bars_can_be_switched_off(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert shown(loop) == ""


def test_a_file_or_a_pipe_gets_nothing_though_colours_are_forced(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert shown(loop, io.StringIO) == ""


def test_what_is_printed_meanwhile_to_a_file_stays_as_it_is():
    def talk():
        with progress("a long call"):
            print("a line")

    with redirect_stdout(io.StringIO()) as printed:
        written = shown(talk)
    assert printed.getvalue() == "a line\n"
    assert written and "a line" not in written


def test_calls_inside_add_lines_and_take_them_away():
    display = Progress(disable=True)

    def nested():
        with inside(display), progress("outer"):
            with progress("inner") as watch:
                assert [task.description for task in display.tasks] == ["outer", "inner"]
                for item in watch([0, 1]):
                    assert (display.tasks[1].completed, display.tasks[1].total) == (item, 2)
            assert [task.description for task in display.tasks] == ["outer"]

    assert shown(nested) == ""
    assert display.tasks == []


def test_an_iterator_has_no_known_length():
    display = Progress(disable=True)
    with inside(display), progress("all of them") as watch:
        for _ in watch(iter([0, 1])):
            assert display.tasks[0].total is None


def test_bars_go_when_the_call_fails():
    def fail():
        with pytest.raises(ZeroDivisionError), progress("a long call"):
            raise ZeroDivisionError

    written = shown(fail)
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1  # the cursor is back


class Notebook:
    """What rich needs of a notebook, and what a cell shows: beside a widget that takes the bars, and goes with them."""

    def __init__(self, monkeypatch):
        self.bars, self.below, self.closed = [], [], False
        self._shown = self.below
        display = ModuleType("IPython.display")
        display.display = lambda x: self._shown.append(x.text) if x is not self else None
        widgets = ModuleType("ipywidgets")
        widgets.Output = lambda: self
        modules = {"IPython": ModuleType("IPython"), "IPython.display": display, "ipywidgets": widgets}
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr(bars, "Console", partial(Console, force_jupyter=True))
        monkeypatch.setattr(bars, "find_spec", lambda name: name)

    def __enter__(self):
        self._shown = self.bars

    def __exit__(self, *exception):
        self._shown = self.below

    def clear_output(self, wait): ...

    def close(self):
        self.closed = True


def test_a_notebook_keeps_no_empty_line(monkeypatch):
    notebook = Notebook(monkeypatch)
    loop()
    assert any("a long call" in text for text in notebook.bars)
    assert notebook.closed
    assert notebook.below == []


def test_silence_covers_all_that_is_called():
    assert shown(silent()(loop)) == ""
    assert shown(loop) != ""


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.fixture(scope="module")
def symmetry():
    return permask.discover(network(0), torch.randn(4, 6))


def told(monkeypatch, call):
    """The names of the bars of a call."""
    names, add = [], Progress.add_task

    def noted(display, description, **options):
        names.append(description.strip())
        return add(display, description, **options)

    monkeypatch.setattr(Progress, "add_task", noted)
    call()
    return names


def test_discovery_tells_its_phases(monkeypatch):
    names = told(monkeypatch, lambda: permask.discover(network(0), torch.randn(4, 6)))
    assert names == ["discover", "capture", "solve", "certify"]


def test_matching_tells_how_far_it_is(monkeypatch, symmetry):
    pair, batches = (network(0), network(1)), [torch.randn(4, 6)] * 2

    def loss(model, batch):
        return model(batch).square().mean()

    names = told(monkeypatch, lambda: permask.match_activations(symmetry, *pair, batches))
    assert "run on batches" in names
    names = told(monkeypatch, lambda: permask.match_weights(symmetry, *pair, restarts=1))
    assert names == ["match weights: runs", "groups of a sweep"]
    names = told(monkeypatch, lambda: permask.match_many(symmetry, pair))
    assert names == ["networks of a round"]
    names = told(monkeypatch, lambda: permask.match_learned(symmetry, *pair, loss, batches, epochs=2))
    assert names[-2:] == ["learn to match: epochs", "batches"]


def test_bars_change_no_result(monkeypatch, symmetry):
    pair, batches, found = (network(0), network(1)), [torch.randn(4, 6)] * 2, []

    def match():
        found.append(permask.match_activations(symmetry, *pair, batches).permutation.index["0"])

    assert shown(match) != ""
    monkeypatch.setenv("PERMASK_PROGRESS", "0")
    assert shown(match) == ""
    assert np.array_equal(*found)
