"""What happens around every request, as plain ASGI: no task of its own, no copy of the body."""
