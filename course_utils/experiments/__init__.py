"""Experiments that take minutes; each is a command that writes a file of `course_utils.results`."""
