# The images of Keelway, of its examples and of the local cluster, one stage each.
#
# `python -m dev.images build` lays out the build context (Python packages by the locks in requirements/, our own code,
# static programs), so that no stage needs a network. BASE is any Python 3.11 on glibc; where no Docker engine can fetch
# the public image, the stage `debian` below is used instead.
ARG BASE=python:3.11.14-slim-bookworm

FROM ${BASE} AS python
ENV HOME=/tmp \
    PYTHONPATH=/app:/app/site \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /tmp
# Root file systems are read-only at run time, so what is not compiled here is compiled again at each start.
COPY compile.py /app/
RUN ["python3", "/app/compile.py", "--standard-library"]

FROM python AS operator
COPY operator/site /app/site
RUN ["python3", "/app/compile.py", "/app/site"]
# The lock leaves packages out that nothing here is known to import (requirements/*.excludes): a wrong guess ends here.
RUN ["python3", "-c", "import kopf, kubernetes.aio.client, optuna.samplers"]
COPY operator/code /app
RUN ["python3", "/app/compile.py", "/app/keelway"]
USER 65532:65532
ENTRYPOINT ["python3", "-m", "keelway"]

FROM python AS worker
COPY worker/site /app/site
RUN ["python3", "/app/compile.py", "/app/site"]
COPY worker/code /app
RUN ["python3", "/app/compile.py", "/app/keelway"]
RUN ["python3", "-c", "import keelway.worker.stores.hub"]
USER 65532:65532
ENTRYPOINT ["python3", "-m", "keelway.worker"]

FROM python AS sklearn
# Several of these share a machine's cores; threads that wait for each other made a fit ten times slower.
ENV OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
COPY server/site /app/site
RUN ["python3", "/app/compile.py", "/app/site"]

FROM sklearn AS server
COPY server/code /app
USER 65532:65532
ENTRYPOINT ["python3", "/app/server.py"]

FROM sklearn AS trainer
COPY trainer/site /app/more
RUN ["python3", "/app/compile.py", "/app/more"]
ENV PYTHONPATH=/app:/app/more:/app/site
COPY trainer/code /app
USER 65532:65532
# Trains unless told to judge: command ["python3", "/app/evaluate.py"].
ENTRYPOINT ["python3", "/app/train.py"]

FROM python AS storage-initializer
COPY storage-initializer/site /app/site
RUN ["python3", "/app/compile.py", "/app/site"]
COPY storage-initializer/code /app
RUN ["python3", "-c", "import boto3, storage_initializer"]
USER 65532:65532
ENTRYPOINT ["python3", "/app/storage_initializer.py"]

# A static program and an empty /tmp; who runs it names the program as command.
FROM scratch AS program
ARG PROGRAM
COPY programs/${PROGRAM} /
USER 65532:65532

FROM scratch AS debian
ADD debian.tar /
CMD ["python3"]
