# The playground, for whoever hosts it (docs/playground.md):
#
#   docker build -t treg-edu-playground .
#   docker run --rm -p 8866:8866 --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --memory 8g treg-edu-playground
FROM python:3.11-slim

# Everything is installed here; nothing is downloaded at run time.
ENV PIP_NO_CACHE_DIR=1 HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1
RUN pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu
COPY . /src
RUN pip install -c /src/constraints.txt "/src[playground]" && rm -r /src

# matplotlib's list of fonts, made once; at run time /tmp is the only place to write to.
ENV MPLCONFIGDIR=/opt/matplotlib HOME=/tmp
RUN python -c "import matplotlib.font_manager"

USER 10001:10001
EXPOSE 8866
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import socket; socket.create_connection(('127.0.0.1', 8866), 5).close()"]
CMD ["treg-edu", "playground", "--host", "0.0.0.0"]
