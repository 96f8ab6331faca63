# shellcheck shell=bash
# What testhost and images share: errors, requirements, where Debian's packages come from.

die() { echo "${0##*/}: $*" >&2; exit 1; }

# The comment that heads the calling script is its help.
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2; }

need_root() { [ "$(id -u)" = 0 ] || die "needs root"; }

# need COMMAND:PACKAGE...
need() {
    local pair
    for pair; do
        command -v "${pair%%:*}" >/dev/null || die "${pair%%:*} missing: apt-get install ${pair##*:}"
    done
}

# The mirror this host itself uses for Debian's main archive: debian.sources first, then sources.list.
mirror() {
    local url=
    url=$(cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | awk '
        /^URIs:/ { for (i = 2; i <= NF; i++) print $i }
        $1 == "deb" { sub(/\[[^]]*\]/, ""); print $2 }' | grep -m1 -E '^https?://.*/debian/?$') || true
    echo "${url:-http://deb.debian.org/debian}"
}

# source_line SUITE: Debian's keys by name, so that a host other than Debian with the keyring installed does too.
source_line() {
    local keys=/usr/share/keyrings/debian-archive-keyring
    if [ -e $keys.pgp ]; then keys=$keys.pgp; else keys=$keys.gpg; fi
    [ -e $keys ] || die "$keys missing: apt-get install debian-archive-keyring"
    echo "deb [signed-by=$keys] $(mirror) $1 main"
}
