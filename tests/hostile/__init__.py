"""Hostile and clumsy input to all commands: one sentence or the right result, and nothing left behind."""
