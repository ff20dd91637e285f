# One image, one container per role: the command chooses the role.
FROM python:3.13.9-slim-bookworm AS build
WORKDIR /app
COPY requirements.txt requirements-uv.txt ./
RUN python -m venv /app/.venv \
 && /app/.venv/bin/pip install --no-cache-dir --require-hashes -r requirements-uv.txt \
 && /app/.venv/bin/uv pip sync --no-cache --python /app/.venv/bin/python --require-hashes \
    requirements.txt

FROM python:3.13.9-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/vedette --create-home vedette
WORKDIR /app
COPY --from=build /app/.venv /app/.venv
COPY . .
# The packages are found next to the command; .vedette lies in the volume.
ENV PATH=/app/.venv/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    VEDETTE_HOME=/var/lib/vedette
USER vedette
VOLUME /var/lib/vedette
ENTRYPOINT ["python", "-m", "streams.cli.main"]
CMD ["--help"]
