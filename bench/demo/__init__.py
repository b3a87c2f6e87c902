"""The demonstration: text found in a picture by a real model, on every road there is."""
