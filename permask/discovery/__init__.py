"""Network to symmetry: capture its graph, follow its units through every op, solve for what is interchangeable."""
