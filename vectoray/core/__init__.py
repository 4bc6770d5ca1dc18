"""The vocabulary every other package speaks. It knows no Ray, no HTTP and no disk."""
