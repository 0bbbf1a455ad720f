"""How steps go, while they run: always as JSON lines in the store, to TensorBoard and Weights & Biases if asked."""
