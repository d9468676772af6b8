# One image for training and hosting: SageMaker starts it as "train" and as "serve". How to build and push it:
# docs/container.md. Nothing is fetched when it runs.
#
#   VARIANT   cpu, or gpu: TensorFlow with NVIDIA's libraries from PyPI (the driver is the host's)
#   WEIGHTS   backbones whose ImageNet weights are fetched into the image while it is built; "" for none. Files that lie
#             in image/weights are in the image in any case, and are not fetched
FROM python:3.11-slim-bookworm AS build
WORKDIR /source
COPY setup.cfg setup.py pyproject.toml README.md LICENSE ./
COPY sagemaker_semseg sagemaker_semseg
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm
ARG VARIANT=cpu
# TensorFlow has a layer of its own, the largest by far, which a change of this package leaves as it is
COPY image/constraints.txt /tmp/constraints.txt
RUN case "$VARIANT" in \
      cpu) tensorflow=tensorflow ;; \
      gpu) tensorflow='tensorflow[and-cuda]' ;; \
      *) echo "VARIANT is cpu or gpu, not '$VARIANT'" >&2; exit 1 ;; \
    esac; \
    pip install --no-cache-dir -c /tmp/constraints.txt "$tensorflow"
COPY --from=build /wheels /tmp/wheels
RUN wheel="$(ls /tmp/wheels/*.whl)" \
 && pip install --no-cache-dir -c /tmp/constraints.txt "$wheel[serve]" \
 && pip check \
 && rm -r /tmp/wheels /tmp/constraints.txt

ARG WEIGHTS="resnet-50 resnet-101"
COPY image/weights /usr/local/share/sagemaker-semseg/weights
RUN for backbone in $WEIGHTS; do \
      sagemaker-semseg weights verify "$backbone" \
      || sagemaker-semseg weights fetch "$backbone" --output /usr/local/share/sagemaker-semseg/weights \
      || exit 1; \
    done \
 && chmod -R a+rX /usr/local/share/sagemaker-semseg

# Any user may run it, one without a name or a home too. No weights are downloaded: what isn't here has to lie in
# the channel "pretrained". Without the two last ones a container on this base would not be shown the host's GPUs.
ENV HOME=/tmp \
    SAGEMAKER_SEMSEG_CACHE=/tmp/sagemaker-semseg \
    HF_HUB_OFFLINE=1 \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /
EXPOSE 8080
LABEL org.opencontainers.image.title="sagemaker-semseg" \
      org.opencontainers.image.licenses="Apache-2.0"
ENTRYPOINT ["sagemaker-semseg"]
