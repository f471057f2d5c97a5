# One container: API, scheduler and workers. SQLite lives in the volume /data; set LEADLOOP_DATABASE_URL for PostgreSQL.
ARG BASE_IMAGE=python:3.13-slim
FROM ${BASE_IMAGE} AS build
WORKDIR /build
RUN python -m venv /opt/leadloop
COPY requirements.lock ./
RUN /opt/leadloop/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY connectors connectors
COPY migrations migrations
RUN /opt/leadloop/bin/pip install --no-cache-dir --no-deps .

FROM ${BASE_IMAGE}
RUN useradd --system --uid 10001 --home-dir /data leadloop && mkdir -p /data && chown leadloop /data
COPY --from=build /opt/leadloop /opt/leadloop
ENV PATH=/opt/leadloop/bin:$PATH PYTHONUNBUFFERED=1 LEADLOOP_DATABASE_URL=sqlite:////data/leadloop.db
USER leadloop
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
CMD ["leadloop", "serve", "--host", "0.0.0.0", "--port", "8000"]
