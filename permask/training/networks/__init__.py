"""The networks of the studies; any other comes by import path."""
