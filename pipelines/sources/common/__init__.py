"""What all providers share: the HTTP transport and the shape in which records travel to the raw log."""
