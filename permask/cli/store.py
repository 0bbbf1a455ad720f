"""`permask store`: what a store holds, whether it is whole, what of it can go, and copies of it."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from permask.cli.arguments import JSON, STORE
from permask.cli.boundary import printable
from permask.cli.verbs import Verb, Verbs

if TYPE_CHECKING:
    from permask.study.store import Store

store = typer.Typer(cls=Verbs, help="List, show, verify, clean and copy the results of a store.", no_args_is_help=True)

KEY = typer.Argument(help="A key of a result, or its first digits if no other key begins with them.", metavar="KEY")
STUDIES = typer.Argument(
    help="Studies, each followed by the changes to it, if there are any.", metavar="[STUDY [key=value ...] ...]"
)


@store.command(cls=Verb)
def ls(
    root: Annotated[Path, STORE] = Path("store"),
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="List only this kind of step, such as prune.")
    ] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """List the results: key, kind of step, size, and the seconds that they took.

    Example: `permask store ls --kind prune`
    """
    from dataclasses import asdict

    from permask.study.upkeep import list_results

    entries = [entry for entry in list_results(_open(root)) if kind in (None, entry.kind)]
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in entries], indent=1))
        return
    for entry in entries:
        seconds = "–" if entry.seconds is None else f"{entry.seconds:,.1f} s"
        typer.echo(f"{entry.key[:16]}  {entry.kind or 'damaged':10} {_bytes(entry.size):>10} {seconds:>12}")
    typer.echo(f"{len(entries)} results, {_bytes(sum(entry.size for entry in entries))}")


@store.command(cls=Verb)
def show(key: Annotated[str, KEY], root: Annotated[Path, STORE] = Path("store")) -> None:
    """Show one result as JSON: its manifest, its folder, and what was measured.

    Example: `permask store show 3f2a`
    """
    from permask.errors import StoreError
    from permask.study.upkeep import find_key

    found = _open(root)
    whole = find_key(found, key)
    folder = found.folder(whole)
    if damage := found.damage(whole):
        raise StoreError(f"{damage}; run the study again to compute it anew")
    metrics = folder / "metrics.json"
    content: dict[str, Any] = {"key": whole, "folder": str(folder), **found.manifest(whole)}
    if metrics.exists():
        content["metrics"] = json.loads(metrics.read_text(encoding="utf-8"))
    typer.echo(json.dumps(content, indent=1))


@store.command(cls=Verb)
def verify(
    studies: Annotated[list[str] | None, STUDIES] = None,
    root: Annotated[Path, STORE] = Path("store"),
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Compare files with their checksums, and results with their keys; the exit code is 1 if one is damaged.

    Example: `permask store verify studies/digits.yaml`

    Run the study again to compute a damaged result anew.
    """
    from permask.cli.output import bar
    from permask.study.upkeep import verify as compare

    found = _open(root)
    keys = _keys(found, studies)
    with bar(as_json) as progress:
        damaged = compare(found, keys, partial(progress.advance, progress.add_task("verifying", total=len(keys))))
    if as_json:
        typer.echo(json.dumps({"results": len(keys), "damaged": damaged}, indent=1))
    else:
        for damage in damaged.values():
            typer.echo(f"damaged: {printable(damage)}")
        typer.echo(f"{len(keys) - len(damaged)} of {len(keys)} results are as they were written")
    if damaged:
        raise typer.Exit(1)


@store.command(cls=Verb)
def gc(
    studies: Annotated[list[str] | None, STUDIES] = None,
    root: Annotated[Path, STORE] = Path("store"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Remove what killed processes left and, if you name studies, every result that none of them needs.

    Examples:

    `permask store gc`

    `permask store gc studies/digits.yaml other.yaml pairs=3 --dry-run`

    While a run uses the store, nothing is removed, and the exit code is 2.
    """
    from permask.study.upkeep import find_garbage, remove_garbage

    found = _open(root, write=not dry_run)
    needed = _planned(found, studies) if studies else None
    garbage = find_garbage(found, needed)
    if not dry_run:
        remove_garbage(found, garbage)
    if as_json:
        content = {"leftovers": list(map(str, garbage.leftovers)), "results": garbage.unneeded, "bytes": garbage.size}
        typer.echo(json.dumps(content | {"removed": not dry_run}, indent=1))
        return
    typer.echo(
        f"{'would remove' if dry_run else 'removed'} {len(garbage.leftovers)} leftovers and {len(garbage.unneeded)} "
        f"results, {_bytes(garbage.size)}"
    )


@store.command(cls=Verb)
def export(
    out: Annotated[Path, typer.Argument(help="Another store, or a folder to make one in.", metavar="OUT")],
    studies: Annotated[list[str] | None, STUDIES] = None,
    root: Annotated[Path, STORE] = Path("store"),
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Copy all results, or those of some studies, to another store, and compare their checksums.

    Example: `permask store export /mnt/share/digits-store studies/digits.yaml`
    """
    from permask.cli.output import bar
    from permask.study.store import Store
    from permask.study.upkeep import export as copy

    found = _open(root)
    keys, target = _keys(found, studies), Store(out)
    with bar(as_json) as progress:
        copied = copy(found, keys, target, partial(progress.advance, progress.add_task("copying", total=len(keys))))
    if as_json:
        typer.echo(json.dumps({"copied": copied, "present": len(keys) - copied, "to": str(out)}, indent=1))
        return
    typer.echo(f"{copied} results copied to {printable(str(out))}, {len(keys) - copied} were there")


def _open(root: Path, write: bool = False) -> "Store":
    from permask.study.store import Store

    found = Store(root, existing=True)
    return Store(root) if write else found


def _keys(found: "Store", studies: list[str] | None) -> list[str]:
    """The keys that the store has, of some studies or all."""
    keys = found.results()
    if not studies:
        return keys
    planned = _planned(found, studies)
    return [key for key in keys if key in planned]


def _planned(found: "Store", arguments: list[str]) -> set[str]:
    """The keys of some studies, as any machine that has run on the store computes them."""
    from permask.cli.prepare import open_with_bars
    from permask.errors import StudyError
    from permask.study.lookup import keys_of_all

    studies: list[tuple[Path, list[str]]] = []
    for argument in arguments:
        if "=" not in argument:
            studies.append((Path(argument), []))
        elif studies:
            studies[-1][1].append(argument)
        else:
            raise StudyError(f"{argument}: expected a study file before changes to it")
    return {key for path, overrides in studies for key in keys_of_all(open_with_bars(path, overrides), found)}


def _bytes(size: float) -> str:
    from rich.filesize import decimal

    return decimal(int(size))
