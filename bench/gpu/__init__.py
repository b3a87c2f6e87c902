"""What `make bench-nvidia` measures: parts by worth, each in a process and a time of its own."""
