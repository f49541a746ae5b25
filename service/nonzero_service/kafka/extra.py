"""Whether the client of Kafka is there; this file imports nothing of it before."""

from __future__ import annotations

from nonzero_service.kafka.errors import SourceConfigError


def check_client() -> None:
    """Refuse a start that could not speak to a broker.

    Raises
    ------
    SourceConfigError
        Where the extra is not installed.
    """
    try:
        import confluent_kafka  # noqa: F401
    except ImportError as error:  # also where a library of the system is missing
        raise SourceConfigError(
            f"source is in Kafka, whose client cannot be imported ({error.name or error}): "
            "pip install 'nonzero-ctr[kafka]'"
        ) from error
