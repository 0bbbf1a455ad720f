"""`permask studies`: the studies that come with permask."""

import typer


def studies() -> None:
    """List the studies that come with permask.

    Example: `permask studies`
    """
    from permask.study.shipped import shipped_studies

    found = shipped_studies()
    wide = max(len(path.stem) for path, _ in found)
    for path, purpose in found:
        typer.echo(f"{path.stem:{wide}}  {purpose}")
