# The image that PHP is compiled in: a base, its compiler and the development packages of the libraries.
# The catalogue gives the base's name, image, package manager and packages.
ARG BASE=public.ecr.aws/amazonlinux/amazonlinux:2023
FROM ${BASE}
ARG TAG=
LABEL phplayer="toolchain" phplayer.base="al2023" phplayer.tag="${TAG}"
# hadolint ignore=DL3002
USER 0
# hadolint ignore=DL3041
RUN dnf install -y \
      binutils \
      diffutils \
      findutils \
      gawk \
      gcc \
      gcc-c++ \
      grep \
      make \
      oniguruma-devel \
      openssl-devel \
      patch \
      pkgconf-pkg-config \
      rpm \
      sed \
      tar \
      xz \
      zlib-devel \
 && dnf clean all \
 && rpm -qa >/packages.txt
RUN install -d -o 1000 -g 1000 /build
USER 1000:1000
WORKDIR /build
