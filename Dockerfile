# StreamGuard in one container: broker, SQL engine, Postgres, consumer and generator under one supervisor.
#
#     docker build --tag streamguard .
#     docker run --network host --volume streamguard:/data streamguard
#
# It listens on loopback, so it needs the host's network. On a cluster, run the parts apart and name the addresses:
#     docker run --no-healthcheck --env KAFKA_BOOTSTRAP_SERVERS=... --env DATABASE_URL=... streamguard consume

FROM python:3.13-slim AS build
WORKDIR /source
COPY requirements.lock .
RUN python -m venv /opt/streamguard \
    && /opt/streamguard/bin/pip install --no-cache-dir --no-deps --require-hashes --requirement requirements.lock
COPY . .
RUN /opt/streamguard/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist . \
    && /opt/streamguard/bin/pip install --no-cache-dir --no-deps /dist/*.whl

FROM python:3.13-slim
RUN useradd --create-home --uid 10001 streamguard \
    && install --directory --owner=streamguard /data
COPY --from=build /opt/streamguard /opt/streamguard
ENV PATH=/opt/streamguard/bin:$PATH
USER 10001
# .streamguard, .env and ksqldb/ are looked for here.
WORKDIR /data
VOLUME /data
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["streamguard", "status"]
ENTRYPOINT ["streamguard"]
CMD ["up", "--foreground"]
