"""Passwords, tokens and API keys as secrets: made, checked, never shown. Knows no database and no HTTP."""
