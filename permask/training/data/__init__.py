"""The data sets of the studies: from their files to batches."""
