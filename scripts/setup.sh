#!/bin/sh
# Prepares this checkout: system packages that are missing (installed when root, else one line says which), the virtual
# environment .venv, the pinned Python packages. Does nothing when nothing has changed since the last time.
# PYTHON chooses the interpreter (default python3).
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

stop() {
    echo "error: setup: $*" >&2
    exit 1
}

command -v "$python" >/dev/null || stop "$python is not installed; run: apt-get install python3 python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    stop "$("$python" --version) is too old; give a newer one with PYTHON=..., 3.10 at least"

# What each package is needed for, by a file or command that it brings.
missing=
need() { # PACKAGE TEST...
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
need gcc command -v gcc
need libc6-dev test -e /usr/include/stdio.h
need make command -v make
need cmake command -v cmake
need gcc-arm-none-eabi command -v arm-none-eabi-gcc
need libnewlib-arm-none-eabi sh -c 'test -e "$(arm-none-eabi-gcc -print-file-name=nano.specs)"'
[ -x .venv/bin/python ] || need "$("$python" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')" \
    "$python" -c 'import ensurepip, venv'

if [ -n "$missing" ]; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing$missing"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing ||
            stop "apt-get could not install$missing; see its messages above"
    else
        stop "system packages are missing; run: sudo apt-get install$missing"
    fi
fi

stamp=.venv/setup-done
key=$(pwd | cat - requirements.txt pyproject.toml | cksum)
[ "$(cat $stamp 2>/dev/null)" = "$key" ] && exit 0

case $(.venv/bin/pip --version 2>/dev/null) in
*" $(pwd)/.venv/"*) ;;
*) "$python" -m venv --clear .venv ;; # there is none, or it was made elsewhere: a virtual environment does not move
esac
echo "setup: installing the Python packages of requirements.txt into .venv (some minutes the first time)"
.venv/bin/pip install -q --disable-pip-version-check -r requirements.txt
.venv/bin/pip install -qq --disable-pip-version-check --no-build-isolation --no-deps -e .
echo "$key" >$stamp
