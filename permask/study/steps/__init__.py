"""What each kind of step computes from its specification and its parents' results."""
