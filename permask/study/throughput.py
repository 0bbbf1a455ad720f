"""What is reported of how fast a step trained."""

from dataclasses import dataclass
from typing import ClassVar

from permask.study.rows import Row


@dataclass(frozen=True, kw_only=True)
class MeasuredThroughput(Row):
    """How fast one step trained its network, and how the training was executed.

    Attributes:
        kind: Of the step.
        images_per_second: In the median epoch.
        share_of_peak: Share of the fastest product of large matrices on the same device.
        device: cpu or cuda.
        precision: float32 or bfloat16.
        compile: Whether the training was compiled.
        deterministic: Whether a GPU took only algorithms that give the same bits every time.
        batchnorm: Over what several processes normalise: `batch` or `share`; None in results from before there was a
            choice.
    """

    table: ClassVar[str] = "throughput"

    kind: str
    step: str
    images_per_second: float
    share_of_peak: float
    device: str
    precision: str
    compile: bool
    deterministic: bool
    batchnorm: str | None = None

    @classmethod
    def columns(cls) -> list[str]:
        """None: every run of a study measures another throughput, so no CSV file has it."""
        return []
