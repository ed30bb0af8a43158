# syntax=docker/dockerfile:1
# The image that the chart runs. Nothing in this repository builds it, as its tests have no container engine.
#
#   docker build -t snaphook:0.1.0 .
#   docker buildx build --platform linux/amd64,linux/arm64 -t registry.example.com/snaphook:0.1.0 --push .
FROM rust:1.95.0-slim-trixie AS build
ARG TARGETARCH
# Otherwise rust-toolchain.toml brings clippy and rustfmt.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,id=snaphook-target-$TARGETARCH \
    cargo build --release --locked --bin snaphook && cp target/release/snaphook /snaphook

FROM debian:trixie-slim
# Receivers of webhooks are checked against the system's certificate authorities.
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /snaphook /usr/local/bin/snaphook
# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
ENTRYPOINT ["snaphook"]
