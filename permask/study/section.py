"""What all parts of a study file have in common: unknown keys are errors, values keep their bounds."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
PositiveInt = Annotated[int, Field(gt=0, lt=2**31, strict=True)]
Count = Annotated[int, Field(ge=0, lt=2**31, strict=True)]
Epochs = Annotated[int, Field(gt=0, le=1_000_000, strict=True)]
Side = Annotated[int, Field(gt=0, le=2**16, strict=True)]  # units of a layer, pixels, positions
# of anybody's code
Reference = Annotated[str, Field(pattern=r"^[^:]+:[^:]+$")]


class Section(BaseModel):
    """A part of a study file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
