"""Where the steps of a plan run."""
