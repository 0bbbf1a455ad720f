"""Network to symmetry: capture its graph, follow the units through every op, solve for what can move."""
