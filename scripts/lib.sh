# shellcheck shell=bash
# Set-up that the other scripts share: system packages, then a virtual environment. Source it.
#
#   set_up EXTRA [TOOL:PACKAGE ...]
#
# leaves `root` (the checkout) and `venv` (the environment with ndicloudfs[EXTRA] in it) behind.
# NDICLOUDFS_VENV chooses the environment; the default is .venv in the checkout. Nothing is
# written elsewhere, apart from the system packages.

set -euo pipefail

oldest_python="3.10"

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=${NDICLOUDFS_VENV:-$root/.venv}
[[ $venv == /* ]] || venv=$PWD/$venv

say() { printf '%s\n' "$*"; }

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Run a command quietly; its output is shown where it fails. The log has no name, so that nothing
# is left behind when the script is interrupted.
quietly() {
    local file log output status=0
    file=$(mktemp)
    exec {log}>"$file"
    exec {output}<"$file"
    rm -f -- "$file"
    "$@" >&"$log" 2>&1 </dev/null || status=$?
    [[ $status == 0 ]] || cat <&"$output" >&2
    exec {log}>&- {output}<&-
    return "$status"
}

# The newest Python that is new enough, as a path; nothing where there is none.
newest_python() {
    local minor name path
    for ((minor = 40; minor >= 0; minor--)); do
        name=python3.$minor
        path=$(command -v "$name") && is_new_enough "$path" && say "$path" && return
    done
    path=$(command -v python3) && is_new_enough "$path" && say "$path" && return
    return 0
}

# Running it also tells a working interpreter from the stub of a version manager.
is_new_enough() {
    "$1" -c "import sys; sys.exit(sys.version_info < (${oldest_python/./, }))" &>/dev/null
}

has_venv_module() { "$1" -c 'import ensurepip, venv' &>/dev/null; }

# What has to be there for TOOL: a command, or the name of a shared library.
has_tool() {
    case $1 in
        lib*.so.*) PATH=$PATH:/sbin:/usr/sbin ldconfig -p | grep -F "$1 " >/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# On Debian 13 and Ubuntu 24.04 libraries with 64-bit times have another name.
package_name() {
    if [[ $1 == libfuse2 ]] && apt-cache show libfuse2t64 &>/dev/null; then
        say libfuse2t64
    else
        say "$1"
    fi
}

install_packages() {
    local names=()
    command -v apt-get >/dev/null ||
        die "these packages are missing, and there is no apt-get to install them: $*"
    if [[ $EUID != 0 ]]; then
        mapfile -t names < <(for name in "$@"; do package_name "$name"; done)
        say "Some system packages are missing. Run this, then start again:" >&2
        say "    sudo apt-get update && sudo apt-get install -y ${names[*]}" >&2
        exit 1
    fi
    quietly apt-get update || die "apt-get update failed"
    mapfile -t names < <(for name in "$@"; do package_name "$name"; done)
    say "Installing system packages: ${names[*]}"
    DEBIAN_FRONTEND=noninteractive quietly apt-get install -y --no-install-recommends \
        "${names[@]}" || die "apt-get could not install: ${names[*]}"
}

# Changes when the environment has to be built anew.
fingerprint() { { cat -- "$root/pyproject.toml" && say "$root"; } | sha256sum | cut -d ' ' -f 1; }

# One line with the fingerprint, then one per extra that is installed.
stamp_has() { [[ -f $venv/.ndicloudfs-stamp ]] && grep -q -x -F -- "$1" "$venv/.ndicloudfs-stamp"; }

venv_works() { [[ -x $venv/bin/python ]] && "$venv/bin/python" -m pip --version &>/dev/null; }

is_ready() {
    [[ -x $venv/bin/python ]] && "$venv/bin/python" -c '' &>/dev/null &&
        stamp_has "$(fingerprint)" && stamp_has "$1"
}

# Is there, before anything else, in an environment that was made here: it may be made anew, also
# where making it was interrupted. Any other folder is never emptied.
was_made_here() { [[ -e $venv/.ndicloudfs-made-here ]]; }

make_venv() {
    say "Building the virtual environment with $("$1" -V)"
    mkdir -p -- "$venv"
    : >"$venv/.ndicloudfs-made-here"
    find "$venv/" -mindepth 1 -maxdepth 1 ! -name .ndicloudfs-made-here -exec rm -rf -- {} +
    quietly "$1" -m venv -- "$venv" || die "could not make $venv"
}

build_venv() {
    local extra=$1 python=$2 print
    print=$(fingerprint)
    if was_made_here; then
        if ! stamp_has "$print" || ! venv_works; then
            make_venv "$python"
        fi
    elif [[ ! -e $venv || -d $venv && -z $(ls -A -- "$venv") ]]; then
        make_venv "$python"
    elif [[ ! -e $venv/pyvenv.cfg ]]; then
        die "$venv is no virtual environment; remove it or choose another with NDICLOUDFS_VENV"
    elif ! venv_works || ! is_new_enough "$venv/bin/python"; then
        die "$venv needs Python $oldest_python and a pip that works, and was not made by this" \
            "script; remove it or choose another with NDICLOUDFS_VENV"
    fi
    stamp_has "$print" || say "$print" >"$venv/.ndicloudfs-stamp"
    say "Installing ndicloudfs[$extra]"
    quietly "$venv/bin/python" -m pip install --no-cache-dir --disable-pip-version-check \
        --editable "${root}[$extra]" || die "pip could not install ndicloudfs[$extra]"
    say "$extra" >>"$venv/.ndicloudfs-stamp"
}

set_up() {
    local extra=$1 python="" missing=() ready=no pair
    shift
    # Two scripts at once would build one environment; the lock needs no file of its own.
    exec {lock}<"$root/pyproject.toml"
    flock "$lock"
    if is_ready "$extra"; then
        ready=yes
    else
        python=$(newest_python)
        if [[ -z $python ]] && command -v python3 >/dev/null; then
            die "needs Python $oldest_python or newer, and this machine has only $(python3 -V 2>&1)"
        elif [[ -z $python ]]; then
            missing+=(python3 python3-venv)
        elif ! has_venv_module "$python"; then
            missing+=("$(venv_package "$python")")
        fi
    fi
    for pair in "$@"; do
        has_tool "${pair%%:*}" || missing+=("${pair#*:}")
    done
    if ((${#missing[@]})); then
        install_packages "${missing[@]}"
    fi
    if [[ $ready == no ]]; then
        [[ -n $python ]] || python=$(newest_python)
        [[ -n $python ]] || die "needs Python $oldest_python or newer, and there is none to install"
        build_venv "$extra" "$python"
    fi
    exec {lock}<&-
}

# The distribution's own Python has its venv module in python3-venv, others in python3.X-venv.
venv_package() {
    local version
    version=$("$1" -c 'import sys; print("python3.%d" % sys.version_info[1])')
    if [[ -x /usr/bin/python3 && $(readlink -f /usr/bin/python3) == "/usr/bin/$version" ]]; then
        say python3-venv
    else
        say "$version-venv"
    fi
}
