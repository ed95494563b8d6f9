"""Registers the Retention page with Airflow. Every Airflow process executes this file: keep it thin."""

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from retention.page import in_airflow


class RetentionPlugin(AirflowPlugin):
    """The page at /retention, its entry in the side bar, a tab on each DAG run, and links from our tasks."""

    name = "retention"
    fastapi_apps: ClassVar[list[Any]] = [{"app": in_airflow.Page(), "url_prefix": "/retention", "name": "Retention"}]
    fastapi_root_middlewares: ClassVar[list[Any]] = in_airflow.middlewares()
    external_views: ClassVar[list[Any]] = in_airflow.views()
    global_operator_extra_links: ClassVar[list[Any]] = [in_airflow.DataQualityLink(), in_airflow.DayLink()]
