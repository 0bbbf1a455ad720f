"""A study file to a plan of steps, and the plan to results in a store."""
