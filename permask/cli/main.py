"""The permask command. Its verbs import what they need when they run, so that --help answers at once."""

from typing import Annotated

import typer

from permask.cli.boundary import boundary
from permask.cli.compare import compare
from permask.cli.connect import connect
from permask.cli.demo import demo
from permask.cli.ensemble import ensemble
from permask.cli.inspect import inspect
from permask.cli.mask import mask
from permask.cli.match import match
from permask.cli.merge import merge
from permask.cli.pattern import pattern
from permask.cli.permute import permute
from permask.cli.plan import plan
from permask.cli.publish import publish
from permask.cli.report import report
from permask.cli.run import run
from permask.cli.status import status
from permask.cli.store import store
from permask.cli.studies import studies
from permask.cli.transport import transport
from permask.cli.verbs import Verb, Verbs

app = typer.Typer(
    cls=Verbs,
    name="permask",
    help="Carry a sparse mask from one neural network to another.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
STUDIES = "Studies"
NETWORKS = "Networks of your own"
VERBS = {
    STUDIES: (demo, run, plan, status, report, compare, studies),
    NETWORKS: (inspect, match, permute, transport, connect, merge, pattern, ensemble, publish),
}
for panel, verbs in VERBS.items():
    for verb in verbs:
        app.command(verb.__name__, cls=Verb, rich_help_panel=panel)(verb)
app.add_typer(store, name="store", rich_help_panel=STUDIES)
app.add_typer(mask, name="mask", rich_help_panel=NETWORKS)


def _version(wanted: bool) -> None:
    if wanted:
        from permask import __version__

        typer.echo(f"permask {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line: exit code 2 for bad input, 1 for a failed step, 130 for Ctrl-C, 143 for SIGTERM."""
    with boundary():
        app()
