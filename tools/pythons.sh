#!/bin/sh
# Print the Python interpreters that really start and that Ringfence supports, one a line, newest first.
#
#   tools/pythons.sh            those on the PATH (a pyenv shim counts only when its version is selected)
#   tools/pythons.sh --all      one of each supported version, wherever pyenv keeps them
set -eu

starts() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

for version in 3.13 3.12 3.11; do
    candidates="python$version"
    if [ "${1:-}" = "--all" ]; then
        candidates="$candidates ${PYENV_ROOT:-$HOME/.pyenv}/versions/$version.*/bin/python$version"
    fi
    for candidate in $candidates; do
        if starts "$candidate"; then
            echo "$candidate"
            break
        fi
    done
done

# Last resort: a distribution that names its only interpreter python3.
if [ "${1:-}" != "--all" ] && starts python3; then
    echo python3
fi
