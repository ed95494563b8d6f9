# Airflow with our locked requirements and this project. `slim` brings no providers of its own, so that the lock alone
# says what is installed.
FROM apache/airflow:slim-3.3.2-python3.11

COPY requirements.lock requirements-install.lock /opt/airflow/
RUN pip install --no-cache-dir --no-deps --require-hashes -r /opt/airflow/requirements-install.lock \
    && pip install --no-cache-dir --no-deps --require-hashes -r /opt/airflow/requirements.lock

COPY --chown=airflow:0 pyproject.toml requirements.in README.md /opt/airflow/
COPY --chown=airflow:0 include /opt/airflow/include
COPY --chown=airflow:0 plugins /opt/airflow/plugins
COPY --chown=airflow:0 dags /opt/airflow/dags
# Compiled here, since nothing that runs may write to the code. Without compiled files Airflow starts 2.6 times slower.
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable /opt/airflow \
    && mkdir -p /opt/airflow/local /opt/airflow/auth \
    && python -m compileall -q /opt/airflow/include /opt/airflow/plugins /opt/airflow/dags

USER root
RUN cd /opt/airflow \
    && chown -R root:0 pyproject.toml requirements.in README.md include plugins dags \
    && chmod -R go-w pyproject.toml requirements.in README.md include plugins dags
# The image's own user, 50000 in group 0: what runs owns its logs, local and auth, and not the code.
USER airflow
