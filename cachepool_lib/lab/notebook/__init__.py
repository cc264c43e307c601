"""What notebooks are written with: predictions, checks, moving pictures, the last cell."""
