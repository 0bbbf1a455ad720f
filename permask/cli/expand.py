"""Commands whose parameters are values: the fields of a value are arguments and options of the command line."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any

import typer


def expand(command: Callable[..., None]) -> Callable[..., None]:
    """Put the fields of every parameter that is a dataclass in its place, as typer's parameters.

    A field is declared like any parameter of a command, `Annotated[type, typer.Option(...)]`, or, in layers that know
    no commands, by metadata: a `help` and whatever else `typer.Option` takes. Other fields keep their defaults.
    """
    parameters = inspect.signature(command).parameters.values()
    values: dict[str, Any] = {p.name: p.annotation for p in parameters if is_dataclass(p.annotation)}
    parts = {name: [_parameter(field) for field in fields(value) if _is_shown(field)] for name, value in values.items()}

    @wraps(command)
    def run(**given: Any) -> None:
        for name, value in values.items():
            given[name] = value(**{part.name: given.pop(part.name) for part in parts[name]})
        command(**given)

    flat = [part for p in parameters for part in parts.get(p.name, [p])]
    named = [part.replace(kind=inspect.Parameter.KEYWORD_ONLY) for part in flat]
    run.__annotations__ = {part.name: part.annotation for part in named}
    run.__signature__ = inspect.Signature(named)  # pyright: ignore[reportAttributeAccessIssue]
    return run


def _is_shown(field: Field[Any]) -> bool:
    return "help" in field.metadata or hasattr(field.type, "__metadata__")


def _parameter(field: Field[Any]) -> inspect.Parameter:
    annotation = Annotated[field.type, typer.Option(**field.metadata)] if field.metadata else field.type
    default = inspect.Parameter.empty if field.default is MISSING else field.default
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
