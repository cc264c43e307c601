"""What a cache in Redis promises on top."""
