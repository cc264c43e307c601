"""Experiments that a notebook calls and does not spell out; what they find goes into a chart."""
