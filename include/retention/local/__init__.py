"""One machine: the embedded PostgreSQL and the Airflow processes."""
