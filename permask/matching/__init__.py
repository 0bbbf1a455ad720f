"""Two networks to an alignment: which unit of one corresponds to which unit of the other."""
