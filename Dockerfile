# syntax=docker/dockerfile:1
FROM python:3.11-slim-bookworm AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/gateway
COPY requirements.lock /src/
RUN /opt/gateway/bin/pip install --require-hashes -r /src/requirements.lock
COPY pyproject.toml README.md LICENSE /src/
COPY gateway /src/gateway
COPY workers /src/workers
RUN /opt/gateway/bin/pip install --no-deps --no-build-isolation /src


FROM python:3.11-slim-bookworm

# A fixed number, so that a volume's owner can be set from outside.
RUN groupadd --gid 10001 gateway \
    && useradd --uid 10001 --gid gateway --no-create-home --home-dir /data gateway \
    && install -d -o gateway -g gateway -m 0750 /data
COPY --from=build /opt/gateway /opt/gateway

ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CAPSULE_HOME=/data \
    CAPSULE_WEB_HOST=0.0.0.0 \
    CAPSULE_LOG_FORMAT=json
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 11112 8080
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=4).close()"]

# `up` by default; one role each in larger deployments: scp, worker, beat, web.
ENTRYPOINT ["capsule-gateway"]
CMD ["up"]
