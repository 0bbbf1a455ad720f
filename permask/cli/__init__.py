"""The permask command, one file per verb."""
