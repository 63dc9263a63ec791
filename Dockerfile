# syntax=docker/dockerfile:1
# Built from source, run on nothing but a C library: no shell, no package manager, not as root.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
ARG DAYBOOK_VERSION=dev
ENV DAYBOOK_VERSION=${DAYBOOK_VERSION}
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin daybook && cp target/release/daybook /daybook
# A volume takes the owner of the folder that it is mounted over.
RUN mkdir -p /var/lib/daybook && chown 65532:65532 /var/lib/daybook && mkdir /data && chown 65532:65532 /data

FROM gcr.io/distroless/cc-debian12:nonroot
ARG DAYBOOK_VERSION=dev
LABEL org.opencontainers.image.title="daybook" \
      org.opencontainers.image.version="${DAYBOOK_VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /daybook /daybook
COPY --from=build --chown=65532:65532 /var/lib/daybook /var/lib/daybook
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/daybook"]
CMD ["serve"]
