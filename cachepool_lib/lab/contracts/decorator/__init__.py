"""What a cache decorator promises."""
