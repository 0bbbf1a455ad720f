"""Networks, data and the one training loop of the studies."""
