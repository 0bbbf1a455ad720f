"""The version of permask, which the package, its files and its results state."""

__version__ = "0.1.0"
