"""Ray Serve's HAProxy as this server wants it: on its own address, bounded, with readable errors."""
