#!/bin/bash
# `make test-nvidia` and `make bench-nvidia` on a machine with a GPU, its driver, PyTorch and CuPy
# for python3, and no network: what else is needed, `make nvidia-wheels` gathers elsewhere.
#
#   bash tests/packs/nvidia_without_network.sh [checks] [bench]
#
# Writes what it finds, as it finds it, to $OUT, or to build/nvidia/results. SECONDS_LEFT bounds
# both together.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
out=${OUT:-$root/build/nvidia/results}
end=$((SECONDS + ${SECONDS_LEFT:-560}))
site=$(mktemp -d)
folder=$(mktemp -d)
mkdir -p "$out"
out=$(cd "$out" && pwd)

python3 -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade \
  --target "$site" "$root"/build/nvidia/wheels/*.whl || exit
# From a folder of their own: the checkout's packages have no compiled parts here.
cp -r "$root/tests" "$root/pyproject.toml" "$folder"
cd "$folder" || exit
export PYTHONPATH=$site PYTHONUNBUFFERED=1

run() {
  local status=0
  for part in "$@"; do
    case $part in
    checks)
      python3 -m tests.packs.nvidia_checks --folder "$out/checks" --seconds $((end - SECONDS))
      ;;
    bench)
      python3 -m bench.gpu --folder "$out/bench" --seconds $((end - SECONDS)) 2>"$out/bench.txt"
      ;;
    *)
      echo "expected checks or bench, got $part"
      false
      ;;
    esac || status=$?
    echo "$part: $((end - SECONDS)) s are left"
  done
  return "$status"
}

run "${@:-checks}" 2>&1 | tee "$out/log.txt"
exit "${PIPESTATUS[0]}"
