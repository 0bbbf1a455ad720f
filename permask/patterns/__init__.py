"""N:M sparsity, N of every M neighbours kept, and the order of units under which that keeps most."""
