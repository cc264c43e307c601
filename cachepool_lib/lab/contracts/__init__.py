"""What caches, decorators and pools promise, as checks that explain themselves."""
