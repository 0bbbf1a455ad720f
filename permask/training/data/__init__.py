"""The data sets of the studies, as tensors on the device."""
