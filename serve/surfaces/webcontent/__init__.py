"""The Web Content API, under /api/v1/users, auth, projects, shared-projects and system."""
