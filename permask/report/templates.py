"""The templates of pages. What they are given is text: none of it can become markup."""

from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup


def template(name: str) -> Template:
    """One of the templates in this folder, by the name of its file."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    loader = PackageLoader("permask", "report")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.globals["resource"] = _resource
    return made


def _resource(name: str) -> Markup:
    """A style or script of ours, as it is."""
    return Markup(files("permask.report").joinpath(name).read_text(encoding="utf-8"))
