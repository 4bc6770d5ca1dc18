"""Text to vectors. Knows no Ray, no HTTP and no storage."""
