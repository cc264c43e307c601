"""The promises of the library and the course. A package, so that its modules share helpers."""
