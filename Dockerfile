# Built from source, run on nothing but a C library: no shell, no package manager, not as root.
#
#   docker run -v daybook:/data -p 127.0.0.1:8080:8080 daybook        one process on an embedded store, kept in the volume
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
ARG DAYBOOK_VERSION=dev
ENV DAYBOOK_VERSION=${DAYBOOK_VERSION}
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin daybook && cp target/release/daybook /daybook
# A volume takes the owner of the folder that it is mounted over.
RUN mkdir /data && chown 65532:65532 /data

# This image has no tags of versions: its name fixes the distribution and the user. What has to be
# repeatable adds the digest of a day (@sha256:…).
FROM gcr.io/distroless/cc-debian12:nonroot
ARG DAYBOOK_VERSION=dev
LABEL org.opencontainers.image.title="daybook" \
      org.opencontainers.image.version="${DAYBOOK_VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /daybook /daybook
COPY --from=build --chown=65532:65532 /data /data
# A port of a container is published from its own address, never from its loopback. Daybook has no access control yet, so anyone
# who reaches that address may do everything: publish the port on loopback only, as above, and share the network with nobody.
ENV DAYBOOK_STORE__DATA=/data \
    DAYBOOK_HTTP__LISTEN=0.0.0.0:8080 \
    DAYBOOK_HTTP__REACHABLE=true
USER 65532:65532
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8080
ENTRYPOINT ["/daybook"]
CMD ["serve"]
