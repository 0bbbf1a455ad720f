"""Where masks come from and go: scores, and holding pruned weights at zero while training."""
