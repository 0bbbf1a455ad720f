"""How commands show their help, and what becomes of an EOFError."""

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


class _Plain:
    """Help that says of an argument or option what it stands for, and neither Python's type nor its range."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Arguments and options."""
        params = super().get_params(ctx)  # pyright: ignore[reportAttributeAccessIssue]
        for param in params:
            param._get_number_range_help_str = lambda: None
            if getattr(param, "is_flag", False):
                param.metavar = ""
            if param.param_type_name == "argument":
                param.display_type_rich = lambda ctx: ""  # its name says it
        return params

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What the line of usage says behind the command: names of arguments have brackets of their own."""
        pieces = super().collect_usage_pieces(ctx)  # pyright: ignore[reportAttributeAccessIssue]
        params = [param for param in self.get_params(ctx) if param.param_type_name == "argument"]
        return [pieces[0], *(param.metavar for param in params), *pieces[1 + len(params) :]]

    def get_short_help_str(self, limit: int = 0) -> str:
        """The first sentence, in full: it stands in the documentation's list of commands."""
        return (self.help or "").partition("\n\n")[0]  # pyright: ignore[reportAttributeAccessIssue]


class Verb(_Plain, TyperCommand):
    """A command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of a command; what is wrong with a value is said without pydantic's name for it."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


class Verbs(_Plain, TyperGroup):
    """Several commands. Of an EOFError, typer would say no more than that a command was aborted."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise RuntimeError(f"a file that Python or a library keeps ends too early: {error}") from error
