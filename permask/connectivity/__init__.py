"""What lies between two networks: interpolation, error barrier, BatchNorm statistics."""
