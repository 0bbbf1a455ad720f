"""A study file and overrides to a checked `Study`, its data looked at; or to one message that lists every mistake."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

from permask.errors import StudyError
from permask.files import UnreadableError, read_text
from permask.study.data import Digits, data_in_keys, decode_images, find_content, root_of
from permask.study.machines import Machines
from permask.study.mistakes import Content, Places, located, show
from permask.study.network import convolves, network_source
from permask.study.own import OwnFile, find_own
from permask.study.parse import parse, parse_value
from permask.study.shipped import find_study
from permask.study.smoke import smallest_form
from permask.study.spec import Study
from permask.study.step import Specification
from permask.study.sweep import SWEEP, Combination, Swept, check, combinations
from permask.training.data.content import Progress, unseen
from permask.training.machine import decide

DECIDED = ("device", "precision", "compile")  # options of execution that can be left to decide
LONGEST = 1_000_000  # bytes of a study file
EXTENDED = 20  # files that extend each other
DEEPEST = 20  # sections around an option


@dataclass(frozen=True)
class Prepared:
    """A study whose data were looked at: all that a plan is made from.

    Attributes:
        study: The study.
        content: What stands for the content of its data; empty where their name says it all.
        folder: Of the study file, where imported code is looked for first.
        files: What methods name of the user's own: the reference of a function, or the path of a mask.
        source: What stands for the code of an imported network; empty for others.
        machines: What it is computed on.
        swept: Where it is one combination of what a study sweeps: option, with dots, to its value.
        parts: Of a study that sweeps something, every combination.
    """

    study: Study
    content: str = ""
    folder: str = ""
    files: Mapping[str, OwnFile] = field(default_factory=dict)
    source: str = ""
    machines: Machines = field(default_factory=Machines.here)
    swept: Swept = field(default_factory=dict)
    parts: "tuple[Prepared, ...]" = ()

    @property
    def combinations(self) -> "tuple[Prepared, ...]":
        """Every combination of what the study sweeps; itself alone if that is nothing."""
        if self.parts or not self.study.sweep:
            return self.parts or (self,)
        return tuple(replace(self, study=study, swept=swept) for swept, study in combinations(self.study))

    @property
    def data_in_keys(self) -> Specification:
        """What stands for the data in the keys of steps: all options but the path, and the content there."""
        return data_in_keys(self.study.data, self.content)

    @property
    def data_root(self) -> str:
        """Where the data's files lie on this machine."""
        return root_of(self.study.data)

    def setting(self, kind: str) -> Specification:
        """What is in the specification of every step of a kind: data, network, how and with which torch it computes.

        Raises:
            StudyError: The study leaves to decide what cannot be decided for machines such as these.
        """
        network, source = self.study.network.model_dump(mode="json", exclude_defaults=True), self.source
        setting = {"data": self.data_in_keys, "network": network} | ({"network_source": source} if source else {})
        setting |= self.study.model_dump(mode="json", include={"evaluate_every"}, exclude_defaults=True)
        return setting | {"execution": self._execution(kind), "torch": self.machines.torch}

    def _execution(self, kind: str) -> Specification:
        """How steps of a kind compute: nothing is left to decide."""
        options = self.study.execution
        wanted = {name: getattr(options, name) for name in DECIDED}
        try:
            decided = decide(self.machines.of(kind), lambda: self._convolves, **wanted)
        except KeyError as error:
            raise StudyError(
                f"execution.precision: expected float32 or bfloat16, because this machine cannot tell what a "
                f"{error.args[0]} of the cluster multiplies; say it in the study, or as execution.precision=float32"
            ) from error
        others = options.model_dump(mode="json", exclude=set(DECIDED), exclude_defaults=True)
        return asdict(decided) | others

    @cached_property
    def _convolves(self) -> bool:
        return convolves(self.study.network, self.folder)

    def on(self, machines: Machines) -> "Prepared":
        """The same study, computed on other machines."""
        return replace(self, machines=machines, parts=tuple(part.on(machines) for part in self.parts))


def open_study(
    path: Path,
    overrides: Iterable[str] = (),
    *,
    smoke: bool = False,
    decode: bool = False,
    machines: Machines | None = None,
    shown: Callable[[str], Progress] = lambda what: unseen,
) -> Prepared:
    """Read and check a study file, and look at its data.

    Args:
        path: As of `load_study`.
        overrides: As of `load_study`.
        smoke: Whether to take the study's smallest form.
        decode: Whether to decode small images now.
        machines: What it is computed on; this machine unless given.
        shown: Called with the name of what takes long; what it returns is told how far that is.

    Raises:
        StudyError: All that is wrong with the file and the overrides, and with the functions and masks that it names.
        DataError: Files that are missing, damaged or laid out otherwise; data that cannot be imported.
    """
    study, places = _checked(path, overrides)
    found = combinations(study) if study.sweep else [Combination({}, study)]
    if smoke:
        study, found = smallest_form(study, found)
    folder, contents = str(find_study(path).resolve().parent), {}
    own = [find_own(one.methods, one.sparsities, folder) for _, one in found]
    if mistakes := [located(place, mistake, places) for _, of in own for place, mistake in of]:
        raise StudyError("\n".join(dict.fromkeys(mistakes)))
    for _, one in found:
        data = one.data
        if (name := data.model_dump_json()) not in contents:
            contents[name] = "" if isinstance(data, Digits) else find_content(data, shown("reading the data"), folder)
            if decode and not isinstance(data, Digits):
                decode_images(data, contents[name], shown("decoding images"))
    parts = tuple(
        Prepared(
            one,
            contents[one.data.model_dump_json()],
            folder,
            files,
            source=network_source(one.network, folder),
            machines=machines or Machines.here(),
            swept=swept,
        )
        for (swept, one), (files, _) in zip(found, own, strict=True)
    )
    return replace(parts[0], study=study, swept={}, parts=parts) if study.sweep else parts[0]


def load_study(path: Path, overrides: Iterable[str] = ()) -> Study:
    """Read and check a study file.

    Args:
        path: The YAML file, or the name of a study that comes with permask.
        overrides: `key=value` each, the key with dots (`prune.epochs=3`), the value in YAML.

    Raises:
        StudyError: All that is wrong with the file and the overrides, one line each.
    """
    return _checked(path, overrides)[0]


def _checked(path: Path, overrides: Iterable[str]) -> tuple[Study, Places]:
    """A study, and where every key was written."""
    content, places = _read(find_study(path))
    errors = [error for override in overrides if (error := _override(content, places, override))]
    study, mistakes = check(content, places)
    errors += mistakes
    if study is None or errors:
        raise StudyError("\n".join(errors))
    return study, places


def _read(path: Path, extended_by: tuple[Path, ...] = ()) -> tuple[Content, Places]:
    """A file's content over that of the file it extends, section by section, and where every key was written."""
    try:
        text, chain = read_text(path, LONGEST), (*extended_by, path.resolve())
    except UnreadableError as error:
        raise StudyError(f"{path}: cannot read the study: {error.reason}") from error
    content, places = parse(text, str(path))
    if "extends" not in content:
        return content, places
    name, place = content.pop("extends"), f"{places[('extends',)]}: extends"
    if not isinstance(name, str) or "\0" in name:
        raise StudyError(f"{place}: expected the name of a file; got {show(name)}")
    base = path.parent / name
    if _resolved(base) in chain:
        raise StudyError(f"{place}: expected another file, {base.name} comes back to itself")
    if len(chain) > EXTENDED:
        raise StudyError(f"{place}: expected at most {EXTENDED} files that extend each other")
    base_content, base_places = _read(base, chain)
    return _over(content, base_content), base_places | places


def _resolved(path: Path) -> Path | None:
    """A path without links; None for one that leads nowhere."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return None


def _over(content: Content, base: Content) -> Content:
    sections = {
        key: _over(value, base[key])
        for key, value in content.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return base | content | sections


def _override(content: Content, places: Places, override: str) -> str | None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        return f"{override}: expected key=value, for instance prune.epochs=3"
    path = _path(key)
    if len(path) > DEEPEST:
        return f"{show(override)}: expected an option of a study, such as prune.epochs"
    if path[0] != SWEEP and isinstance(sweep := content.get(SWEEP), dict):  # given one value, it is swept no more
        content[SWEEP] = {name: values for name, values in sweep.items() if name != key}
    section = content
    for part in path[:-1]:
        if not isinstance(section.get(part, {}), dict):
            return f"{override}: {part} is not a section with keys"
        section[part] = dict(section.get(part, {}))  # an alias may share it with another section
        section = section[part]
    try:
        section[path[-1]] = parse_value(value, override)
    except StudyError:
        return f"{override}: expected a YAML value after {key}="
    for replaced in [place for place in places if place[: len(path)] == path]:
        del places[replaced]
    places[path] = override
    return None


def _path(key: str) -> tuple[str, ...]:
    """The keys that lead to an option; under `sweep`, the option is one key with its dots."""
    section, _, option = key.partition(".")
    return (section, option) if section == SWEEP and option else tuple(key.split("."))
