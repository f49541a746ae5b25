"""Topics of Kafka, read so that each record comes once; nothing else imports its client.

The client, confluent-kafka, is an extra. It is imported when a source is begun, and not before.
"""
