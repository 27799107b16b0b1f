"""The four ways to bring a result into a project, each of which can be undone."""
