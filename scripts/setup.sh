#!/usr/bin/env bash
# Set up .venv from requirements.lock: `scripts/setup.sh` for the book, `scripts/setup.sh --browser` for its tests too.
# Settings: PYTHON (interpreter), EDMSE_TORCH (cpu | default), EDMSE_TORCH_INDEX (a package index for torch).
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1m[set-up]\033[0m %s\n' "$*" >&2; }
die() { printf '[set-up] error: %s\n' "$*" >&2; exit 1; }

as_root() {  # run a command as root where that is possible without a password
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo "$@"; else return 1; fi
}
apt_install() {
    command -v apt-get >/dev/null || return 1
    say "installing $* with apt-get"
    as_root apt-get update -q >/dev/null && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >/dev/null
}

find_python() {
    local p
    for p in ${PYTHON:-} python3.12 python3.11 python3 python; do
        if command -v "$p" >/dev/null && "$p" -c 'import sys; raise SystemExit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then
            echo "$p"; return
        fi
    done
    die "no Python 3.11 or 3.12 found; install one, or name it: PYTHON=/path/to/python make book"
}

make_venv() {
    local python version
    python=$(find_python)
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    # pesq is compiled from source: it needs the headers of this Python and a C compiler.
    "$python" -c 'import os, sysconfig; raise SystemExit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
        apt_install "python$version-dev" || die "Python.h not found; install python$version-dev"
    command -v "${CC:-cc}" >/dev/null || apt_install build-essential || die "no C compiler found; install build-essential"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || apt_install "python$version-venv" || die "the module venv is missing; install python$version-venv"
    say "making .venv with Python $version"
    "$python" -m venv .venv
}

pip_() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }
pin() { grep -iE "^$1==" requirements.lock; }

torch_is_pinned() { .venv/bin/python -c "import importlib.metadata as m; raise SystemExit(('torch==' + m.version('torch').split('+')[0]) != '$(pin torch)')" 2>/dev/null; }

install_torch() {
    torch_is_pinned && return
    local torch cpu_index=https://download.pytorch.org/whl/cpu
    torch=$(pin torch)
    if [ -n "${EDMSE_TORCH_INDEX:-}" ]; then
        say "installing $torch from $EDMSE_TORCH_INDEX"
        pip_ install -q --no-deps --index-url "$EDMSE_TORCH_INDEX" "$torch"
    elif [ "${EDMSE_TORCH:-cpu}" = default ] || [ "$(uname -s)" != Linux ]; then
        say "installing $torch as your package index offers it, with its dependencies"
        pip_ install -q "$torch"
    else
        say "installing the CPU build of $torch"
        pip_ install -q --no-deps "$torch+cpu" 2>/dev/null || pip_ install -q --no-deps --index-url "$cpu_index" "$torch" ||
            die "no CPU build of torch could be had. Name an index that has one (EDMSE_TORCH_INDEX=URL make book), or take the default build, several GB on Linux (EDMSE_TORCH=default make book)."
        if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
            say "a GPU is here, but this is the CPU build; for the GPU: rm -rf .venv && EDMSE_TORCH=default make book"
        fi
    fi
}

install_torchaudio() {  # its Linux wheel is a CUDA build: next to a CPU torch the compiled part cannot load
    pip_ install -q --no-deps "$(pin torchaudio)"
    if ! .venv/bin/python -c 'import torchaudio' 2>/dev/null; then
        find .venv -path '*/torchaudio/lib/_torchaudio*.so' -exec mv {} {}.aside \;
        .venv/bin/python -c 'import torchaudio' || die "torchaudio cannot be imported next to this torch"
    fi
}

packages() {
    local stamp=.venv/.set-up key
    key=$(cat requirements.lock pyproject.toml scripts/setup.sh | sha256sum | cut -d' ' -f1)
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$key" ] && return
    [ -x .venv/bin/python ] || make_venv
    say "installing the pins of requirements.lock"
    grep -vE '^(#|torch==|torchaudio==)' requirements.lock > .venv/pins.txt
    pip_ install -q --no-deps -r .venv/pins.txt
    install_torch
    install_torchaudio
    pip_ install -q --no-deps --no-build-isolation -e .
    echo "$key" > "$stamp"
    say "ready: .venv"
}

browser() {
    .venv/bin/python tests/browser.py >/dev/null 2>&1 && return
    say "the tests read the book in a real browser"
    apt_install chromium || true
    .venv/bin/python tests/browser.py >/dev/null 2>&1 && return
    .venv/bin/python -m playwright install chromium || true
    .venv/bin/python tests/browser.py >/dev/null 2>&1 ||
        die "no browser that starts; install chromium (Debian: apt-get install chromium), or name one: EDMSE_BROWSER=/path/to/chrome make test"
}

packages
if [ "${1:-}" = --browser ]; then browser; fi
