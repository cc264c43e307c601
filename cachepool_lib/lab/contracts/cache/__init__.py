"""What a cache promises."""
