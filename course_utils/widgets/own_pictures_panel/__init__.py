"""The own-pictures panel: a classifier of the reader's pictures, its mistakes, a new picture."""
