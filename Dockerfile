# docker build -t imgproxy .
# docker run -p 8080:8080 -v ./imgproxy.toml:/etc/imgproxy.toml:ro -v ./photos:/srv/photos:ro -v imgproxy-cache:/var/cache/imgproxy imgproxy
FROM python:3.11-slim-bookworm AS build

RUN python3 -m pip install --no-cache-dir uv==0.13.9
WORKDIR /src
COPY requirements.lock ./
COPY pyproject.toml README.md CHANGELOG.md ./
COPY imgproxy imgproxy
COPY config config
# The lock is a constraint with hashes: a package that is not in it, or not the one it names, ends the build.
RUN uv venv /opt/imgproxy \
 && VIRTUAL_ENV=/opt/imgproxy uv pip install --no-cache -c requirements.lock -b requirements.lock ".[formats]" \
 && /opt/imgproxy/bin/imgproxy --help > /dev/null \
 && /opt/imgproxy/bin/python -m compileall -q /opt/imgproxy/lib

FROM python:3.11-slim-bookworm

# The distribution keeps only its newest version of a package, so a pinned one breaks the build with every security update.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends libjemalloc2 fonts-dejavu-core fontconfig \
 && rm -rf /var/lib/apt/lists/* \
 && ln -s "$(find /usr/lib -name libjemalloc.so.2)" /usr/local/lib/libjemalloc.so.2 \
 && useradd --system --uid 10001 --home-dir /var/cache/imgproxy --shell /usr/sbin/nologin imgproxy \
 && install -d -o imgproxy -g imgproxy -m 0700 /var/cache/imgproxy

COPY --from=build /opt/imgproxy /opt/imgproxy

ENV PATH=/opt/imgproxy/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    IMGPROXY_CONFIG=/etc/imgproxy.toml \
    IMGPROXY_SERVER__HOST=0.0.0.0 \
    IMGPROXY_SERVER__JEMALLOC=/usr/local/lib/libjemalloc.so.2 \
    IMGPROXY_CACHE__DIRECTORY=/var/cache/imgproxy

USER 10001
WORKDIR /var/cache/imgproxy
VOLUME /var/cache/imgproxy
# The admin port (8081) stays inside: it has metrics and purging.
EXPOSE 8080
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=10s --timeout=4s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ.get('IMGPROXY_SERVER__PORT', '8080') + '/health', timeout=3)"]

ENTRYPOINT ["imgproxy"]
CMD ["serve"]
