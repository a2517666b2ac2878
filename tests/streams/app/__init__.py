"""Claims about the Faust application, mostly about real workers on a real broker."""
