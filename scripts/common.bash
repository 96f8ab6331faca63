# shellcheck shell=bash
# What demo and test share: the packages, the test host, and warmd built and installed in it.
# WARMD_TEST_DIR holds what takes long to make and is kept between runs.

top=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
cache=${WARMD_TEST_DIR:-/var/tmp/warmd-test}
host=$cache/host
testhost=$top/tests/testhost/testhost
images=$top/tests/testhost/images

# shellcheck disable=SC2034  # used by those who source this
host_packages=(mmdebstrap gcc libc6-dev util-linux iproute2 procps debian-archive-keyring ca-certificates)
build_packages=(g++ cmake ninja-build pkg-config libcpp-httplib-dev nlohmann-json3-dev libspdlog-dev libsqlitecpp-dev
    libsqlite3-dev libgtest-dev libcli11-dev libtomlplusplus-dev libarchive-dev libssl-dev libsystemd-dev
    libvalijson-dev libyaml-cpp-dev libzstd-dev prometheus-cpp-dev python3 python3-yaml)
tool_packages=(jq strace python3 perl skopeo docker-registry openssl)

applications=()  # whose images are made; none named: all

say() { printf '\n== %s (%d s)\n' "$*" $SECONDS; }
die() { echo "${0##*/}: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "needs root: sudo $0"

# Installs what is missing and asks for nothing.
install_packages() {
    local missing=() package
    for package; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
}

on_host() { "$testhost" run "$host" "$@"; }

# Makes the test host and the images, unless they are there.
make_test_host() {
    local packages=("${build_packages[@]}" "${tool_packages[@]}")
    mkdir -p "$cache"
    if [ "$(cat "$cache/host.packages" 2>/dev/null)" != "${packages[*]}" ]; then
        "$testhost" down "$host"
        rm -rf --one-file-system "$host"
    fi
    if [ ! -d "$host" ]; then
        "$testhost" build "$host" "${packages[@]}"
        echo "${packages[*]}" > "$cache/host.packages"
    fi
    "$images" build "$cache/images" "${applications[@]}"
}

boot_test_host() {
    "$testhost" down "$host"
    BIND="$top:/src" "$testhost" up "$host"
    on_host systemctl start podman.socket
}

# Builds what is in this directory in the test host (with Debian 13's compiler and libraries), installs it, and brings
# the images in.
install_warmd() {  # CMAKE-OPTION...
    if ! {
        on_host cmake -S /src -B /var/tmp/warmd-build -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo \
            -DCMAKE_INSTALL_PREFIX=/usr "$@" && on_host cmake --build /var/tmp/warmd-build
    } > "$cache/build.log" 2>&1; then
        tail -40 "$cache/build.log"
        die "the build in the test host failed"
    fi
    on_host cmake --install /var/tmp/warmd-build > /dev/null
    "$images" load "$host" "$cache/images" "${applications[@]}"
    on_host systemd-sysusers
    on_host sh -c 'mkdir -p /etc/warmd/templates.d && cp /usr/share/warmd/templates/octave.toml /etc/warmd/templates.d/'
    on_host systemctl daemon-reload
    on_host systemctl restart warmd
}

# CRIU that sees a cgroup v1 hierarchy copies it with every checkpoint, until the kernel is out of memory.
count_pids_groups() { awk '$1 == "pids" {print $3}' /proc/cgroups; }
