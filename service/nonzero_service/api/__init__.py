"""The API: requests -> answers, and how OpenAPI describes both. ``table`` has all routes."""
