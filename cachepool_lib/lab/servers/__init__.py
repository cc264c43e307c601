"""Real servers for the notebooks, what breaks the way to them, and the shop's data in them."""
