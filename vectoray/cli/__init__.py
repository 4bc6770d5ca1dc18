"""The `vectoray` command. Starts server programs as processes and talks REST; imports neither of them."""
