"""What the steps of a study ask of a cluster: a file of its own, so that the study stays the same everywhere."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from permask.errors import StudyError
from permask.files import UnreadableError, read_text
from permask.study.parse import parse
from permask.study.section import Section


class Resources(Section):
    """What one step asks for."""

    cpus: Annotated[int, Field(gt=0, strict=True, description="cores, and threads of torch")] = 1
    gpus: Annotated[
        float, Field(ge=0, le=1024, description="GPUs; with Ray a share below 1, of a GPU that steps share")
    ] = 0
    processes: Annotated[
        int | None,
        Field(gt=0, strict=True, description="that train one network together; one per GPU unless given"),
    ] = None
    memory: Annotated[
        str | None,
        Field(pattern=r"^\d+[KMGT]$", description="main memory, such as 8G; the cluster's default unless given"),
    ] = None
    hours: Annotated[
        float | None, Field(gt=0, le=87_600, description="time limit; the cluster's default unless given")
    ] = None
    options: Annotated[
        tuple[str, ...], Field(description="more options of sbatch, such as --partition=gpu; Ray ignores them")
    ] = ()

    @property
    def trains_in(self) -> int:
        """The processes that train one network together."""
        return self.processes or max(1, int(self.gpus))

    @field_validator("gpus", mode="before")
    @classmethod
    def _whole_or_less_than_one(cls, gpus: object) -> object:
        if isinstance(gpus, bool) or not isinstance(gpus, int | float) or (gpus > 1 and gpus % 1 != 0):
            raise PydanticCustomError("gpus", "expected a whole number, or a share below 1, got {gpus}", {"gpus": gpus})
        return gpus


class Cluster(Section):
    """How to use a cluster."""

    steps: dict[str, Resources] = Field(
        default_factory=dict, description="kind of step to what it asks for; `all` is for kinds not named"
    )
    setup: Annotated[str, Field(description="shell lines that a Slurm job begins with, such as module load")] = ""
    address: Annotated[str | None, Field(description="of the Ray cluster; Ray's own search unless given")] = None

    def resources(self, kind: str) -> Resources:
        """What steps of a kind ask for."""
        return self.steps.get(kind, self.steps.get("all", Resources()))

    @property
    def devices(self) -> str:
        """What steps run on, in words."""
        asked = {"all": self.resources("all")} | self.steps
        on_gpu = [f"{kind} on {_gpus(resources.gpus)}" for kind, resources in asked.items() if resources.gpus]
        return "; ".join(on_gpu) or "on CPUs"


def _gpus(count: float) -> str:
    return f"{count:g} GPU{'s' * (count > 1)}" if count >= 1 else f"{count:g} of a GPU"


def load_cluster(path: Path) -> Cluster:
    """Read and check a cluster file.

    Raises:
        StudyError: All that is wrong with it, one line each.
    """
    try:
        text = read_text(path)
    except UnreadableError as error:
        raise StudyError(f"{path}: cannot read the cluster file: {error.reason}") from error
    content, places = parse(text, str(path), "a cluster file with keys such as steps, setup, address")
    try:
        return Cluster.model_validate(content)
    except ValidationError as error:
        raise StudyError(
            "\n".join(
                f"{places.get(detail['loc'], path)}: {'.'.join(map(str, detail['loc']))}: {detail['msg']}"
                for detail in error.errors()
            )
        ) from error
