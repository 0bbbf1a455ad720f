"""`permask studies`: the studies that come with permask."""

import typer


def studies() -> None:
    """List the studies that come with permask.

    Example: `permask studies`
    """
    from permask.study.shipped import shipped_studies

    for path, purpose in shipped_studies():
        typer.echo(f"{path.stem:12} {purpose}")
