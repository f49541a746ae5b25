# The service: `docker compose up`, or
#   docker build -t nonzero . && docker run --read-only --tmpfs /tmp -v nonzero:/data -p 127.0.0.1:8000:8000 -e NONZERO_ALLOW_OPEN=on nonzero
# Without NONZERO_ALLOW_OPEN it needs tokens (NONZERO_TOKEN_FILE), because a published port may be reached by anybody.
# Where packages come from another index than pip's own: docker build --secret id=pip.conf,src=$HOME/.config/pip/pip.conf .

FROM python:3.13-slim-trixie AS build
RUN python3 -m venv /build/tools && python3 -m venv --without-pip /opt/nonzero
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt requirements-build.txt requirements-linker.txt ./
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 -m pip --python tools/bin/python install --require-hashes --requirement requirements-build.txt --requirement requirements-linker.txt \
    && python3 -m pip --python /opt/nonzero/bin/python install --require-hashes --requirement requirements.txt
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY core core
COPY service service
# The wheel has the kernels, compiled for every CPU of this architecture. Bytecode is never checked against its source again:
# the image's files do not change, and nothing could be written there.
RUN tools/bin/python -m hatchling build --target wheel --directory dist \
    && python3 -m pip --python /opt/nonzero/bin/python install --no-deps dist/*.whl \
    && find /opt/nonzero/lib -type d -name tests -prune -exec rm -r {} + \
    && /opt/nonzero/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/nonzero/lib

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="Nonzero" \
      org.opencontainers.image.description="Click-through rates learned while they are served" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 nonzero \
    && useradd --uid 10001 --gid nonzero --home-dir /data --no-create-home --shell /usr/sbin/nologin nonzero \
    && install --directory --owner=nonzero --group=nonzero --mode=0750 /data
COPY --from=build /opt/nonzero /opt/nonzero
ENV PATH=/opt/nonzero/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NONZERO_HOST=0.0.0.0 \
    NONZERO_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
# Alive, not ready: a service that is still reading a long journal must not be restarted for it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-ISc", "import os, ssl, urllib.request as r; own = ssl._create_unverified_context() if os.environ.get('NONZERO_SSL_CERTFILE') else None; r.urlopen(('https' if own else 'http') + '://127.0.0.1:' + os.environ.get('NONZERO_PORT', '8000') + '/healthz', timeout=4, context=own)"]
CMD ["nonzero", "serve"]
