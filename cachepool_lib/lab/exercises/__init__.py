"""Feedback on the exercises: the smallest case that goes wrong, and a hint."""
