# One image for every process of the platform; docker-compose.yml says which one a container runs.
FROM python:3.11-slim-bookworm AS build
WORKDIR /opt/psp
COPY requirements.lock ./
RUN python -m venv .venv \
    && .venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
COPY pyproject.toml README.md dagster.yaml workspace.yaml ./
COPY pipelines ./pipelines
COPY dbt_project ./dbt_project
COPY dashboards ./dashboards
RUN .venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation -e .

FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends chromium \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home psp \
    && install -d -o psp -g psp /var/lib/psp
COPY --from=build /opt/psp /opt/psp
WORKDIR /opt/psp
USER psp
ENV PATH=/opt/psp/.venv/bin:$PATH \
    PSP_HOME=/var/lib/psp \
    DAGSTER_HOME=/var/lib/psp/dagster \
    PYTHONUNBUFFERED=1
VOLUME /var/lib/psp
ENTRYPOINT ["psp"]
CMD ["--help"]
