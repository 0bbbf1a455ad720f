"""How commands show their help, and what becomes of an EOFError."""

from typing import Any

from typer.core import TyperCommand, TyperGroup


class _Flags:
    """Help that names no type beside an option that takes no value."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Arguments and options."""
        params = super().get_params(ctx)  # pyright: ignore[reportAttributeAccessIssue]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return params


class Verb(_Flags, TyperCommand):
    """A command."""


class Verbs(_Flags, TyperGroup):
    """Several commands. Of an EOFError, typer would say no more than that a command was aborted."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise RuntimeError(f"a file that Python or a library keeps ends too early: {error}") from error
