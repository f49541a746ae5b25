"""What models learn from beside HTTP: topics of Kafka, each message once."""
