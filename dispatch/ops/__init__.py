"""One file an operator: its schema, `OPERATOR`, and its public function of the file's name."""
