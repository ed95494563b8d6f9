"""The Retention page: what a data engineer sees beside the Airflow UI."""
