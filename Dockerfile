# The server: API and migrations. No torch. Settings and secrets are read at run time (docs/settings.md).
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/stepline && python -m venv .venv
COPY . .
RUN ./script/page
RUN /opt/stepline/bin/pip install --quiet -c constraints.txt ".[server]"

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data stepline \
 && mkdir -p /data && chown stepline:stepline /data
COPY --from=build /opt/stepline /opt/stepline
COPY script/container /usr/local/bin/stepline-container
ENV PATH=/opt/stepline/bin:$PATH PYTHONUNBUFFERED=1 \
    STEPLINE_HOST=0.0.0.0 STEPLINE_ALLOW_REMOTE=true STEPLINE_PORT=8000 STEPLINE_DATA_DIR=/data
USER 10001:10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["stepline-container"]
CMD ["stepline", "serve"]
