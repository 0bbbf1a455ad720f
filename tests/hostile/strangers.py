"""Code that a user might bring: it fails, exits, or returns something else. Copied as `mine.py`."""

import sys

import torch
from torch import nn


class Silent(Exception):
    def __str__(self):
        raise ValueError("nothing to say")


def raises():
    raise ValueError("not [red]today[/red] \x1b[31m")


def says_nothing():
    raise Silent


def exits():
    sys.exit(0)


def recursive():
    return recursive()


def none():
    pass


def a_class():
    return nn.Linear


def a_number():
    return 3


def a_list():
    return [nn.Linear(6, 3)]


def without_parameters():
    return nn.ReLU()


def nothing_at_all():
    return nn.Sequential()


def lazy():
    return nn.LazyLinear(3)


class Net(nn.Module):
    def __init__(self, then=lambda y: y, width=8):
        super().__init__()
        self.first, self.last, self.then = nn.Linear(6, width), nn.Linear(width, 3), then

    def forward(self, x):
        return self.then(self.last(self.first(x).relu()))


def fail(y):
    raise KeyError("wrong")


def leave(y):
    sys.exit(0)


def of_many(y):
    if len(y) > 2:
        raise RuntimeError("too many")
    return y


def forward_raises():
    return Net(fail)


def forward_exits():
    return Net(leave)


def forward_of_two():
    return Net(of_many)


def returns_none():
    return Net(lambda y: None)


def returns_a_word():
    return Net(lambda y: "class 3")


def returns_a_dict():
    return Net(lambda y: {"logits": y})


def returns_a_number():
    return Net(lambda y: y.sum())


def returns_whole_numbers():
    return Net(lambda y: y.long())


def returns_nan():
    return Net(lambda y: y * float("nan"))


def returns_inputs():
    return Net(lambda y: torch.zeros(len(y), 3))


class Marked(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict({"[red]a[/blue]": nn.Linear(6, 8), ":smile:\x1b[2J": nn.Linear(8, 3)})

    def forward(self, x):
        first, last = self.layers.values()
        return last(first(x).relu())


def batches():
    return [(torch.randn(4, 6), torch.tensor([0, 1, 2, 0]))]


def no_batches():
    return []


def words():
    return ["a", "b"]


def text():
    return "abc"


def a_tensor():
    return torch.randn(4, 6)


def batch_raises():
    yield from batches()
    raise OSError("the disk is gone")


def batch_exits():
    sys.exit(0)
    yield


def far_labels():
    return [(torch.randn(4, 6), torch.tensor([0, 1, 2, 7]))]


def negative_labels():
    return [(torch.randn(4, 6), torch.tensor([0, 1, 2, -1]))]


def broken_labels():
    return [{"input": torch.randn(4, 6), "labels": torch.tensor([0.5, 1, 2, 0])}]


def listed_labels():
    return [{"input": torch.randn(4, 6), "labels": [0, 1, 2, 0]}]


def few_labels():
    return [(torch.randn(4, 6), torch.tensor([0, 1]))]


def no_labels():
    return [torch.randn(4, 6)]


def other_widths():
    return [(torch.randn(4, 7), torch.tensor([0, 1, 2, 0]))]


def second_of_other_width():
    return [*batches(), *other_widths()]


def nan_inputs():
    return [(torch.full((4, 6), float("nan")), torch.tensor([0, 1, 2, 0]))]


def infinite_inputs():
    return [(torch.full((4, 6), float("inf")), torch.tensor([0, 1, 2, 0]))]


def complex_inputs():
    return [(torch.randn(4, 6, dtype=torch.complex64), torch.tensor([0, 1, 2, 0]))]


def empty_inputs():
    return [(torch.randn(0, 6), torch.zeros(0, dtype=torch.long))]


def no_features():
    return [(torch.randn(4, 0), torch.tensor([0, 1, 2, 0]))]


def batches_that_need(this):
    return batches()


value = 3
