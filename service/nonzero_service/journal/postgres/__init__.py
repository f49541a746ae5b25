"""The journal in PostgreSQL, which several nodes share. Nothing else imports psycopg."""
