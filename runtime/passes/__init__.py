"""Small functions graph → graph that make a trace cheaper to run and keep its results."""
