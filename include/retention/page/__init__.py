"""The Retention page: what the shop's database says about the last days, beside the Airflow UI.

``app`` is the FastAPI application, ``morning`` and ``quality`` read what its two views show, ``in_airflow`` is the only
module that knows Airflow. Importing this package imports nothing: every Airflow process does it.
"""
