"""What a pool of connections promises."""
