"""From a specialised graph to a plan: kernels and layouts, steps, memory."""
