"""All the networks whose symmetries were derived by hand, as one table: name to `Example`."""

from networks_plain import PLAIN
from networks_structured import STRUCTURED

NETWORKS = PLAIN | STRUCTURED
