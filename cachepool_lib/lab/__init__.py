"""What the course needs around the library: servers, simulated time, traffic, charts and checks."""
