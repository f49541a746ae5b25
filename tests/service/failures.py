"""What is handed to a part of the service where nothing may fail."""


def no_failure(error: Exception) -> None:
    """Fail the test with what failed."""
    raise AssertionError(error)
