"""Selection by measurement: timing kernels, and keeping what was found."""
