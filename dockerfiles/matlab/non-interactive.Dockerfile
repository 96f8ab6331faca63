# MATLAB without a desktop, licensed by a batch token: the standard image, with nothing of warmd in it. It follows the
# non-interactive reference of MathWorks (github.com/mathworks-ref-arch/matlab-dockerfile); matlab-ci-ready.Dockerfile
# puts the agent on top. `dockerfiles/build matlab` builds both.
#
# The token is for run time alone: matlab-batch reads it from MLM_LICENSE_TOKEN when it starts. It must not become a
# build argument or a variable of the image, where `podman history` and `podman inspect` show it to everybody who has
# the image.
ARG MATLAB_RELEASE=R2024b
FROM docker.io/mathworks/matlab-deps:${MATLAB_RELEASE}

ARG MATLAB_RELEASE
# Separated by spaces, as mpm names them: MPM.md and mpm-input-files in the reference have the names.
ARG MATLAB_PRODUCT_LIST=MATLAB
ARG MATLAB_INSTALL_LOCATION=/opt/matlab
ARG MATLAB_UID=1001
# PORT@HOST of a network licence manager, for sites that have one beside or instead of batch tokens. Not a secret.
ARG LICENSE_SERVER=""

RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/*

# MATLAB runs as a user of its own, and without the sudo of the reference: the code of jobs runs in this process, and
# must not be able to change MATLAB, the agent, or the files that later jobs read. warmd needs no root in the container:
# its agent is PID 1 as the same user, warmd reaches the agent's socket as the host's root, and CRIU, run by the host's
# root too, dumps and restores whatever user it finds. Jobs that write to a directory of the host write as MATLAB_UID; a
# template's `user` chooses another user. The number is not 1000 because newer Ubuntu images have that user already.
RUN useradd --create-home --home-dir /var/lib/matlab --shell /bin/bash --uid "${MATLAB_UID}" matlab

# HOME, because mpm puts support packages below it, where the user's MATLAB looks for them. When mpm fails, only its log
# says why. The product list is meant to fall into words.
# hadolint ignore=SC2086
RUN curl --fail --silent --show-error --location --proto '=https' --output /tmp/mpm \
        https://www.mathworks.com/mpm/glnxa64/mpm \
    && chmod +x /tmp/mpm \
    && { HOME=/var/lib/matlab /tmp/mpm install --release="${MATLAB_RELEASE}" \
            --destination="${MATLAB_INSTALL_LOCATION}" --products ${MATLAB_PRODUCT_LIST} \
        || { cat /tmp/mathworks_root.log >&2; exit 1; }; } \
    && rm -f /tmp/mpm /tmp/mathworks_root.log \
    && chown -R matlab: /var/lib/matlab \
    && ln -s "${MATLAB_INSTALL_LOCATION}/bin/matlab" /usr/local/bin/matlab

# matlab-batch starts the `matlab` that lies beside it. The address serves the newest version, so there is no checksum
# to hold it to.
RUN curl --fail --silent --show-error --location --proto '=https' --output /usr/local/bin/matlab-batch \
        https://ssd.mathworks.com/supportfiles/ci/matlab-batch/v1/glnxa64/matlab-batch \
    && chmod 755 /usr/local/bin/matlab-batch

# Empty without LICENSE_SERVER. The reference also switches on usage reporting to MathWorks (MW_DDUX_FORCE_ENABLE); this
# image does not.
ENV MLM_LICENSE_FILE=${LICENSE_SERVER}

USER matlab
WORKDIR /var/lib/matlab
CMD ["/bin/bash"]
