# The server, its probe and the command line, built from Debian's packages alone.
# Build context: the repository. See docs/operations.md, "Containers".
FROM debian:bookworm-slim AS build
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      build-essential cmake ninja-build pkg-config mold grpc-proto libabsl-dev libcivetweb-dev \
      libcli11-dev libgrpc++-dev libprotobuf-dev librocksdb-dev libspdlog-dev libssl-dev \
      libtoml11-dev libxxhash-dev nlohmann-json3-dev prometheus-cpp-dev protobuf-compiler \
      protobuf-compiler-grpc \
    && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN cmake -S /src -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release -DSTELE_BUILD_TESTS=OFF \
    && cmake --build /build --target stele-server stele-probe stele \
    && mkdir /out \
    && install -s /build/server/stele-server /build/storage/stele-probe /build/client/cli/stele /out/

# What runs: the libraries, without what only people and package managers read. Licences stay.
FROM debian:bookworm-slim AS runtime
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      libgrpc++1.51 libprotobuf32 librocksdb7.8 libssl3 libxxhash0 libspdlog1.10 libcivetweb1 \
      libprometheus-cpp-core1.0 \
    && useradd --uid 7420 --no-create-home --home-dir /data --shell /usr/sbin/nologin stele \
    && install -d -o stele -g stele -m 0700 /data \
    && find /usr/share/doc -type f ! -name copyright -delete \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb \
         /var/cache/debconf/*-old /var/log/*.log /var/log/apt /usr/share/man /usr/share/info \
         /usr/share/locale /usr/share/i18n /usr/lib/*-linux-gnu/gconv
COPY --from=build /out/ /usr/local/bin/

# One layer: what was removed above is not carried along underneath.
FROM scratch
COPY --from=runtime / /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
USER stele
VOLUME /data
EXPOSE 7420 7421
# Off loopback the server refuses to start without keys: give STELE_KEYS_FILE, or say
# STELE_INSECURE_NO_AUTH=true and publish the port on loopback only.
ENV STELE_DATA_DIR=/data/stele STELE_LISTEN=0.0.0.0:7420 STELE_HTTP_LISTEN=0.0.0.0:7421
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
  CMD ["stele-server", "--health-check"]
ENTRYPOINT ["stele-server"]
