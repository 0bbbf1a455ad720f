"""What each family of ops does to the units of its operands; one file per family."""
