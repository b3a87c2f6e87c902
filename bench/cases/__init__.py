"""Shape sets: one TOML file each, a table for each operator."""
