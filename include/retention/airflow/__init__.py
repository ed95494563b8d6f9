"""Airflow: what the DAG files share. Nothing else of the package imports Airflow but the page's plugin."""
