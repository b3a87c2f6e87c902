"""Post-training quantisation: ranges from samples, integers from ranges, and what it costs."""
