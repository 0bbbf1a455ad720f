"""All the networks whose symmetries were derived by hand, as one table: name to `Example`."""

from support.networks_plain import PLAIN
from support.networks_structured import STRUCTURED

NETWORKS = PLAIN | STRUCTURED
