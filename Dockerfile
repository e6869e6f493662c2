# syntax=docker/dockerfile:1
# tabloop with what it needs to serve and to watch: neither scikit-learn nor Polars is in it. One that trains and
# scores files as well: --build-arg REQUIREMENTS=requirements-run.lock. The project (config.yaml, artifacts, data) is
# mounted at /project:  docker run --init -p 127.0.0.1:8000:8000 -v "$PWD:/project" tabloop
ARG PYTHON_IMAGE=python:3.13-slim
ARG REQUIREMENTS=requirements-serve.lock

# the wheel, by the locked build backend
FROM ${PYTHON_IMAGE} AS wheel
WORKDIR /build
COPY requirements-build.lock ./
RUN python -m pip install --no-cache-dir --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

# the environment: every dependency by its hash, then the wheel; bytecode is compiled here, since the running
# container may not write
FROM ${PYTHON_IMAGE} AS environment
ARG REQUIREMENTS
COPY requirements-serve.lock requirements-run.lock ./
RUN python -m venv /opt/tabloop \
    && /opt/tabloop/bin/python -m pip install --no-cache-dir --require-hashes -r "$REQUIREMENTS"
COPY --from=wheel /wheels /wheels
RUN /opt/tabloop/bin/python -m pip install --no-cache-dir --no-deps --no-index /wheels/*.whl \
    && /opt/tabloop/bin/python -m pip uninstall --yes pip

# what runs: no pip, no compiler, nobody's account; ONNX Runtime reports to nobody
FROM ${PYTHON_IMAGE}
RUN groupadd --system --gid 10001 tabloop \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tabloop
# the image comes without the standard library's bytecode: a second of every start
RUN python -m compileall -q "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=environment /opt/tabloop /opt/tabloop
ENV PATH="/opt/tabloop/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1
WORKDIR /project
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-I", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=2); c.request('GET', '/health/ready'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["tabloop"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--workers", "1"]
