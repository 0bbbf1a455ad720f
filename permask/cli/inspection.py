"""What `permask inspect` prints of a symmetry: a tree of groups, a table of pins, a sentence; or JSON."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.console import Console
from rich.markup import escape as as_text
from rich.table import Table
from rich.tree import Tree
from torch import Tensor

from permask.cli.boundary import printable
from permask.groups import Axis, Group
from permask.inputs import Inputs
from permask.symmetry import Pin, Symmetry

SHOWN = 6  # parts of a group, unless all are asked for
KINDS = {"genuine": "green", "unsupported op": "red", "search incomplete": "yellow"}


@dataclass(frozen=True)
class Inspection:
    """A symmetry together with the network and inputs that it was found on.

    Attributes:
        title: How the network was named.
        inputs: What it was run on.
        parameters: Number of parameter elements.
        symmetry: What was found.
    """

    title: str
    inputs: Inputs
    parameters: int
    symmetry: Symmetry

    @property
    def summary(self) -> str:
        """How much of the network may move, how surely, and how long it took to find."""
        symmetry, report = self.symmetry, self.symmetry.report
        groups = len(symmetry.groups)
        phases = ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in report["seconds"].items())
        return (
            f"{groups} group{'s' * (groups != 1)}; {_percent(symmetry.movable)} of {self.parameters:,} parameters "
            f"movable, {_percent(symmetry.positions)} of the positions along their axes; "
            f"10^{symmetry.freedom:.1f} symmetries; {self._certified}; took {sum(report['seconds'].values()):.1f} s "
            f"({phases})"
        )

    @property
    def _certified(self) -> str:
        """What the certificate says."""
        error, float32 = self.symmetry.report["error"], self.symmetry.report.get("float32")
        kind = self.symmetry.report.get("certificate", "full")
        if kind in ("off", "none"):
            return "not certified"
        if error is None:
            return "no evidence: the outputs do not vary"
        if len(self.symmetry.report.get("unseen", ())) == len(self.symmetry.groups) > 0:
            return "no evidence: with these inputs, the units have no influence on the outputs"
        amplified = "" if float32 is None else f"; {float32:.0e} in float32, so that this is rounding"
        whose = "the output of a narrow copy" if kind == "narrow" else "the output"
        return f"random permutations change {whose} by {error:.1e} of its spread (float64{amplified})"

    def json(self) -> str:
        """All of it as JSON; the tables of positions are in the file that `--save` writes."""
        symmetry = self.symmetry
        content = {
            "model": self.title,
            "inputs": [{"shape": list(x.shape), "dtype": _dtype(x)} for x in self.inputs.tensors],
            "parameters": self.parameters,
            "movable": symmetry.movable,
            "positions": symmetry.positions,
            "freedom": symmetry.freedom,
            "groups": [_entry(group) for group in symmetry.groups],
            "pinned": [vars(pin) for pin in symmetry.pinned],
            "report": dict(symmetry.report),
        }
        return json.dumps(content, indent=2)

    def show(self, every: bool) -> None:
        """Print it for people; `every` lists all axes of all groups."""
        console = Console(highlight=False, emoji=False)
        console.print(self._tree(every))
        console.print(self._pins(every))
        report = self.symmetry.report
        if report["failed"]:
            console.print(f"[bold red]failed the certificate and left out:[/] {escape(', '.join(report['failed']))}")
        if report.get("unseen") and report.get("certificate") not in ("off", "none"):
            console.print(f"[bold yellow]no evidence for[/] {escape(_some(report['unseen'], every))}")
        if report["unused"]:
            console.print(f"not used in evaluation mode: {escape(_some(report['unused'], every))}")
        if report["idle"]:
            console.print(f"too weak for the certificate to tell: {escape(_some(report['idle'], every))}")
        console.print(self.summary)

    def _tree(self, every: bool) -> Tree:
        root = Tree(f"[bold]{escape(self.title)}[/]  [dim]on {escape(str(self.inputs))}[/]")
        branches = {}
        for group in self.symmetry.groups:  # parents before children
            blocks = f" in each of {group.blocks}" if group.parent else ""
            label = f"[bold]{escape(group.name)}[/]  [bold cyan]{group.size}[/] units{blocks}  "
            trunk = branches[group.parent] if group.parent else root
            branches[group.name] = trunk.add(label + f"[dim]{escape(_axes(group, every))}[/]")
        return root

    def _pins(self, every: bool) -> Table:
        table = Table("pinned", "by", "why", "axes", "such as", box=None, pad_edge=False, header_style="dim")
        table.columns[3].justify = "right"
        for (kind, op, why), pins in sorted(self._pinned.items(), key=lambda item: list(KINDS).index(item[0][0])):
            where = [f"{pin.parameter}:{pin.dim}" for pin in pins]
            shown = ", ".join(where if every else where[:2]) + " …" * (len(where) > 2 and not every)
            table.add_row(f"[{KINDS[kind]}]{kind}[/]", escape(op), escape(why), str(len(pins)), escape(shown))
        return table

    @cached_property
    def _pinned(self) -> dict[tuple[str, str, str], list[Pin]]:
        """Pins by kind, function and reason."""
        alike = defaultdict(list)
        for pin in self.symmetry.pinned:
            function = pin.op.partition(" (")[2].removesuffix(")")  # of "conv2d_3 (conv2d)"
            alike[pin.kind, function or pin.op, pin.reason].append(pin)
        return alike


def escape(text: str) -> str:
    """A text that somebody else wrote, between markup: as it is, but for what could move the cursor."""
    return as_text(printable(text))


def _axes(group: Group, every: bool) -> str:
    """The axes of a group, those of one module together: `bn1.{weight,bias}:0  fc.weight:1 ×4`."""
    modules: dict[tuple[str, int, int], list[str]] = defaultdict(list)
    for axis in group.axes:
        module, _, name = axis.parameter.rpartition(".")
        modules[module, axis.dim, axis.table.shape[-1]].append(name)
    parts = []
    for (module, dim, positions), names in modules.items():
        name = names[0] if len(names) == 1 else f"{{{','.join(names)}}}"
        parts.append(f"{module and module + '.'}{name}:{dim}" + f" ×{positions}" * (positions > 1))
    shown = parts if every else parts[:SHOWN]
    return "  ".join(shown) + f"  and {len(parts) - len(shown)} more" * (len(shown) < len(parts))


def _some(items: Sequence[str], every: bool) -> str:
    shown = items if every else items[:SHOWN]
    return ", ".join(shown) + f" and {len(items) - len(shown)} more" * (len(shown) < len(items))


def _entry(group: Group) -> dict[str, object]:
    return {
        "name": group.name,
        "size": group.size,
        "parent": group.parent,
        "blocks": group.blocks,
        "axes": [_axis(axis) for axis in group.axes],
    }


def _axis(axis: Axis) -> dict[str, object]:
    return {"parameter": axis.parameter, "dim": axis.dim, "positions_per_unit": axis.table.shape[-1]}


def _dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _percent(share: float) -> str:
    """A share in percent that reads 100% only if it is all."""
    return "100%" if share == 1 else f"{min(100 * share, 99.99):.2f}%"
