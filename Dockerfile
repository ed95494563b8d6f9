# Airflow with our locked requirements and this project. `slim` brings no providers of its own, so that the lock alone
# says what is installed.
FROM apache/airflow:slim-3.3.2-python3.11

COPY --chown=airflow:0 requirements.txt /opt/airflow/
RUN pip install --no-cache-dir -r /opt/airflow/requirements.txt

COPY --chown=airflow:0 pyproject.toml requirements.in README.md /opt/airflow/
COPY --chown=airflow:0 include /opt/airflow/include
RUN pip install --no-cache-dir --no-deps --editable /opt/airflow \
    && mkdir -p /opt/airflow/local /opt/airflow/auth

COPY --chown=airflow:0 plugins /opt/airflow/plugins
COPY --chown=airflow:0 dags /opt/airflow/dags
