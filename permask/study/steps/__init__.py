"""What each kind of step computes: one module per kind, each with a function `compute(run)`."""
